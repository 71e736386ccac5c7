package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"sigs.k8s.io/yaml"

	"seedbed/lab/k3s/internal/config"
	"seedbed/lab/k3s/internal/snapshots"
)

const (
	snapshotTimeout = 2 * time.Minute
	// snapshotJitter keeps several servers from making a snapshot at the very same moment.
	snapshotJitter = 5 * time.Second
)

func (n *node) snapshotSettings() (snapshots.Settings, error) {
	return snapshots.Read(n.conf, filepath.Join(n.dir, "server/db/snapshots"))
}

// scheduleSnapshots makes a snapshot whenever it is time. A bucket that does not answer is no reason not to start, as in
// k3s: it is said now, and at each snapshot, which then is in the folder only.
func (n *node) scheduleSnapshots(ctx context.Context, set snapshots.Settings) {
	if set.S3 != nil {
		if _, err := snapshots.Open(ctx, *set.S3, n.name); err != nil {
			log.Printf("level=warning msg=%q", "Unable to initialize S3 client: "+err.Error())
		}
	}
	if n.conf.Bool("etcd-disable-snapshots") {
		log.Print("level=info msg=\"ETCD snapshots are disabled\"")
		return
	}
	for {
		jitter := rand.N(snapshotJitter)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(set.Schedule.Next(time.Now())) + jitter):
		}
		if _, err := n.saveSnapshot(ctx, set, set.Name); err != nil {
			log.Printf("level=error msg=%q", "Failed to take scheduled snapshot: "+err.Error())
		}
	}
}

// saveSnapshot gives the names of what it made: the file, and the object. That the object could not be made is in the log
// only, as in k3s.
func (n *node) saveSnapshot(ctx context.Context, set snapshots.Settings, base string) (made []string, err error) {
	path, err := n.saveFile(ctx, set.Folder, base)
	if err != nil || path == "" {
		return nil, err
	}
	name := filepath.Base(path)
	made = append(made, name)
	if _, err := set.Folder.Retain(base, set.Retention); err != nil {
		log.Printf("level=warning msg=%q", "Failed to apply local snapshot retention policy: "+err.Error())
	}
	if set.S3 == nil {
		return made, nil
	}
	bucket, err := snapshots.Open(ctx, *set.S3, n.name)
	if err != nil {
		log.Printf("level=warning msg=%q", "Unable to initialize S3 client: "+err.Error())
		return made, nil
	}
	log.Printf("level=info msg=\"Saving etcd snapshot %s to S3\"", name)
	if err := bucket.Upload(ctx, path); err != nil {
		log.Printf("level=error msg=%q", "Error received during snapshot upload to S3: "+err.Error())
	} else {
		log.Printf("level=info msg=\"S3 upload complete for %s\"", name)
		made = append(made, name)
	}
	if _, err := bucket.Retain(ctx, base); err != nil { // also where the bucket was too full for one more
		log.Printf("level=warning msg=%q", "Failed to apply s3 snapshot retention policy: "+err.Error())
	}
	return made, nil
}

// saveFile gives no path on a server that does not vote yet.
func (n *node) saveFile(ctx context.Context, folder snapshots.Folder, base string) (string, error) {
	client, err := n.etcdClient()
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	status, err := client.Status(ctx, etcdLocal)
	if err != nil {
		return "", fmt.Errorf("failed to check etcd status for snapshot: %w", err)
	}
	if status.IsLearner {
		log.Print("level=warning msg=\"Unable to take snapshot: not supported for learner\"")
		return "", nil
	}
	if err := folder.Ensure(); err != nil {
		return "", err
	}
	path := filepath.Join(folder.Path, snapshots.Name(base, n.name, time.Now().Round(time.Second)))
	log.Printf("level=info msg=\"Saving etcd snapshot to %s\"", path)
	data, err := client.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	defer data.Close()
	out, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, data)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return "", errors.Join(err, os.Remove(path+".part"))
	}
	return path, os.Rename(path+".part", path)
}

// etcdSnapshot is `k3s etcd-snapshot save|ls|delete|prune`. k3s asks the server on this machine to do it; here the command
// does it itself, but not without a server that runs either.
func etcdSnapshot(args []string) error {
	quietLibraries()
	conf, err := config.Load(config.Snapshot, args, os.Getenv)
	if err != nil {
		return err
	}
	n, err := newNode(conf, true)
	if err != nil {
		return err
	}
	set, err := n.snapshotSettings()
	if err != nil {
		return err
	}
	if len(conf.Args) == 0 {
		return errors.New("usage: k3s etcd-snapshot [flags] save|ls|delete|prune [flags] [names]")
	}
	action, names := conf.Args[0], conf.Args[1:]
	if !slices.Contains([]string{"save", "ls", "list", "l", "delete", "prune"}, action) {
		return fmt.Errorf("etcd-snapshot %s is not part of the %s", action, nature)
	}
	if action == "delete" && len(names) == 0 {
		return errors.New("no snapshots given for removal")
	}
	if action != "delete" && len(names) > 0 {
		return errors.New("this command does not take any arguments")
	}
	ctx, cancel := context.WithTimeout(context.Background(), snapshotTimeout+conf.Duration("etcd-s3-timeout", 5*time.Minute))
	defer cancel()
	if err := n.serverAnswers(ctx); err != nil {
		return err
	}
	if !exists(n.etcdDir()) {
		return errors.New("etcd datastore disabled")
	}
	var bucket *snapshots.S3
	if set.S3 != nil {
		if bucket, err = snapshots.Open(ctx, *set.S3, n.name); err != nil {
			return fmt.Errorf("failed to initialize S3 client: %w", err)
		}
	}
	base := conf.Get("name", "on-demand")
	switch action {
	case "save":
		return n.saveNow(ctx, set, base)
	case "delete":
		return deleteSnapshots(ctx, set.Folder, bucket, names)
	case "prune":
		return pruneSnapshots(ctx, set, bucket, base)
	}
	return n.listSnapshots(ctx, set.Folder, bucket)
}

// serverAnswers is what k3s's command begins with.
func (n *node) serverAnswers(ctx context.Context) error {
	if _, err := os.ReadFile(filepath.Join(n.dir, "server/token")); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://127.0.0.1:"+apiPort+"/cacerts", nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: etcdTimeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("failed to get CA certs: %w", err)
	}
	return response.Body.Close()
}

// saveNow removes none of the older ones.
func (n *node) saveNow(ctx context.Context, set snapshots.Settings, base string) error {
	set.Retention = 0
	if set.S3 != nil {
		set.S3.Retention = 0
	}
	made, err := n.saveSnapshot(ctx, set, base)
	for _, name := range made {
		log.Printf("level=info msg=\"Snapshot %s saved.\"", name)
	}
	return err
}

func deleteSnapshots(ctx context.Context, folder snapshots.Folder, bucket *snapshots.S3, names []string) error {
	for _, name := range names {
		deleted := false
		remove := func(where string, how func() error) {
			switch err := how(); {
			case err == nil:
				deleted = true
			case !snapshots.NotFound(err):
				log.Printf("level=error msg=%q", fmt.Sprintf("Failed to delete %s snapshot %s: %v", where, name, err))
			}
		}
		remove("local", func() error { return folder.Delete(name) })
		if bucket != nil {
			remove("S3", func() error { return bucket.Delete(ctx, name) })
		}
		if deleted {
			log.Printf("level=info msg=\"Snapshot %s deleted.\"", name)
		} else {
			log.Printf("level=warning msg=\"Snapshot %s not found.\"", name)
		}
	}
	return nil
}

func pruneSnapshots(ctx context.Context, set snapshots.Settings, bucket *snapshots.S3, base string) error {
	deleted, err := set.Folder.Retain(base, set.Retention)
	if err != nil {
		log.Printf("level=error msg=%q", "Error applying snapshot retention policy: "+err.Error())
	}
	if bucket != nil {
		more, err := bucket.Retain(ctx, base)
		if err != nil {
			log.Printf("level=error msg=%q", "Error applying S3 snapshot retention policy: "+err.Error())
		}
		deleted = append(deleted, more...)
	}
	for _, name := range deleted {
		log.Printf("level=info msg=\"Snapshot %s deleted.\"", name)
	}
	return nil
}

func (n *node) listSnapshots(ctx context.Context, folder snapshots.Folder, bucket *snapshots.S3) error {
	list, err := folder.List(n.name)
	if err != nil {
		return err
	}
	if bucket != nil {
		remote, err := bucket.List(ctx)
		if err != nil {
			return err
		}
		list = append(remote, list...)
	}
	snapshots.Sort(list)
	switch format := n.conf.Get("output", "table"); format {
	case "json", "yaml":
		out, err := json.MarshalIndent(snapshots.Resources(list), "", "    ")
		if err == nil && format == "yaml" {
			out, err = yaml.JSONToYAML(out)
		}
		if err != nil {
			return err
		}
		fmt.Println(string(out))
		return nil
	case "table":
	default:
		return fmt.Errorf("invalid output format: %s", format)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprint(table, "Name\tLocation\tSize\tCreated\n")
	for _, s := range list {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", s.Name, s.Location, s.Size, s.Created.UTC().Format(time.RFC3339))
	}
	return table.Flush()
}
