// Package snapshots keeps etcd's snapshots: what they are called, where they are, and how many of them stay.
//
// Source of all of it: k3s-io/k3s pkg/etcd/{snapshot,s3/s3}.go at 1.34 and docs.k3s.io/cli/etcd-snapshot.
package snapshots

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"seedbed/lab/k3s/internal/config"
)

const (
	defaultName      = "etcd-snapshot"
	defaultSchedule  = "0 */12 * * *"
	defaultRetention = 5
)

// Snapshot is a file in a folder or an object in a bucket.
type Snapshot struct {
	Name     string
	Location string // a URL
	Node     string // "s3" for one in a bucket
	Size     int64  // bytes
	Created  time.Time
}

// Settings say when a server makes snapshots and where they go.
type Settings struct {
	Name      string // scheduled ones begin with it
	Schedule  cron.Schedule
	Retention int // how many of a name stay in the folder; all of them below 1
	Folder    Folder
	S3        *S3Settings // nil: in the folder only
}

// Read takes the settings out of the configuration; `standard` is the folder where they are without one.
//
// k3s ignores a schedule that it does not understand, and then makes no snapshots. Here it is an error, so that a typo
// cannot pass the lab's tests.
func Read(c *config.Config, standard string) (Settings, error) {
	spec := c.Get("etcd-snapshot-schedule-cron", defaultSchedule)
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return Settings{}, fmt.Errorf("--etcd-snapshot-schedule-cron: %w", err)
	}
	if schedule.Next(time.Now()).IsZero() {
		return Settings{}, fmt.Errorf("--etcd-snapshot-schedule-cron: %q never comes", spec)
	}
	path := c.Get("etcd-snapshot-dir", standard)
	return Settings{
		Name: c.Get("etcd-snapshot-name", defaultName), Schedule: schedule,
		Retention: c.Number("etcd-snapshot-retention", defaultRetention),
		Folder:    Folder{Path: path, Create: path == standard}, S3: readS3(c),
	}, nil
}

// Name is what a snapshot is called.
func Name(base, node string, at time.Time) string {
	return fmt.Sprintf("%s-%s-%d", base, node, at.Unix())
}

// created reads the time out of a snapshot's name, or takes the other.
func created(name string, otherwise time.Time) time.Time {
	seconds, err := strconv.ParseInt(name[strings.LastIndexByte(name, '-')+1:], 10, 64)
	if err != nil {
		return otherwise
	}
	return time.Unix(seconds, 0)
}

// Sort puts the oldest first.
func Sort(list []Snapshot) {
	slices.SortStableFunc(list, func(a, b Snapshot) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name))
	})
}

// Resources is the list as `k3s etcd-snapshot ls` prints it in JSON and YAML.
func Resources(list []Snapshot) map[string]any {
	items := []map[string]any{}
	for _, s := range list {
		items = append(items, map[string]any{
			"spec": map[string]any{"snapshotName": s.Name, "nodeName": s.Node, "location": s.Location},
			"status": map[string]any{
				"readyToUse": true, "size": strconv.FormatInt(s.Size, 10), "creationTime": s.Created.UTC().Format(time.RFC3339),
			},
		})
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
}

// Folder is where a server keeps its own snapshots. Only the standard one is made when it is missing.
type Folder struct {
	Path   string
	Create bool
}

// Ensure is for all that needs the folder.
func (f Folder) Ensure() error {
	if f.Create {
		if err := os.MkdirAll(f.Path, 0o700); err != nil {
			return err
		}
	}
	info, err := os.Stat(f.Path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", f.Path)
	}
	if err != nil {
		return fmt.Errorf("failed to get etcd-snapshot-dir: %w", err)
	}
	return nil
}

// List gives the folder's snapshots; `node` is whose they are.
func (f Folder) List(node string) ([]Snapshot, error) {
	if err := f.Ensure(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(f.Path)
	if err != nil {
		return nil, err
	}
	var out []Snapshot
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
			continue
		}
		if err != nil {
			return nil, err
		}
		path := filepath.Join(f.Path, entry.Name())
		out = append(out, Snapshot{
			Name: entry.Name(), Location: "file://" + path, Node: node, Size: info.Size(), Created: created(entry.Name(), info.ModTime()),
		})
	}
	return out, nil
}

// Retain removes the oldest of those whose names begin with `base` until `keep` are left, and tells which it removed.
func (f Folder) Retain(base string, keep int) ([]string, error) {
	if keep < 1 {
		return nil, nil
	}
	log.Printf("level=info msg=\"Applying snapshot retention=%d to local snapshots with prefix %s in %s\"", keep, base, f.Path)
	all, err := f.List("")
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s Snapshot) bool { return !strings.HasPrefix(s.Name, base) })
	Sort(all)
	var removed []string
	for _, old := range all[:max(0, len(all)-keep)] {
		if err := f.Delete(old.Name); err != nil {
			return removed, err
		}
		removed = append(removed, old.Name)
	}
	return removed, nil
}

// Delete removes one of the folder's snapshots.
func (f Folder) Delete(name string) error {
	return os.Remove(filepath.Join(f.Path, filepath.Base(name)))
}
