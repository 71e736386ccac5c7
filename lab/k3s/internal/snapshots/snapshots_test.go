package snapshots

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/lab/k3s/internal/config"
)

func read(t *testing.T, text string) (Settings, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Server, []string{"--config", path}, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return Read(c, "/standard")
}

func TestWithoutSettingsAServerSavesTwiceADayInItsFolder(t *testing.T) {
	got, err := read(t, "{}\n")
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.Local)
	if next := got.Schedule.Next(noon.Add(-time.Minute)); !next.Equal(noon) {
		t.Errorf("next at %s", next)
	}
	if got.Name != "etcd-snapshot" || got.Retention != 5 || got.Folder != (Folder{"/standard", true}) || got.S3 != nil {
		t.Errorf("%+v", got)
	}
}

func TestTheBucketHasARetentionOfItsOwn(t *testing.T) {
	got, err := read(t, "etcd-s3: true\netcd-snapshot-retention: 28\netcd-s3-bucket: b\netcd-snapshot-dir: /other\n")
	if err != nil {
		t.Fatal(err)
	}
	// k3s-io/k3s#13769: 28 files in each server's folder, and five objects in the bucket
	if got.Retention != 28 || got.S3.Retention != 5 || got.S3.Timeout != 5*time.Minute || got.S3.Region != "us-east-1" {
		t.Errorf("%+v %+v", got, got.S3)
	}
	if got.Folder != (Folder{"/other", false}) {
		t.Errorf("%+v", got.Folder)
	}
	if got, err = read(t, "etcd-s3: true\netcd-s3-retention: 84\netcd-s3-timeout: 30s\n"); err != nil || got.S3.Retention != 84 || got.S3.Timeout != 30*time.Second {
		t.Errorf("%+v, %v", got.S3, err)
	}
}

func TestAScheduleThatCannotBeReadOrNeverComesIsAnError(t *testing.T) {
	for _, spec := range []string{"every day", "0 0 30 2 *", "* * * *"} {
		if _, err := read(t, "etcd-snapshot-schedule-cron: \""+spec+"\"\n"); err == nil || !strings.Contains(err.Error(), "etcd-snapshot-schedule-cron") {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func TestANameHoldsTheNodeAndTheTime(t *testing.T) {
	at := time.Unix(1790000000, 0)
	name := Name("etcd-snapshot", "server-a-1", at)
	if name != "etcd-snapshot-server-a-1-1790000000" || !created(name, time.Time{}).Equal(at) {
		t.Error(name, created(name, time.Time{}))
	}
	if got := created("by-hand", at); !got.Equal(at) {
		t.Error(got)
	}
}

func TestTheFolderKeepsTheNewestOfAName(t *testing.T) {
	f := Folder{Path: t.TempDir()}
	for _, name := range []string{"etcd-snapshot-a-1790000003", "etcd-snapshot-a-1790000001", "etcd-snapshot-a-1790000002", "on-demand-a-1780000000"} {
		if err := os.WriteFile(filepath.Join(f.Path, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if removed, err := f.Retain("etcd-snapshot", 0); len(removed) > 0 || err != nil {
		t.Errorf("without a limit: %v, %v", removed, err)
	}
	removed, err := f.Retain("etcd-snapshot", 2)
	if err != nil || !slices.Equal(removed, []string{"etcd-snapshot-a-1790000001"}) {
		t.Fatal(removed, err)
	}
	left, err := f.List("a")
	if err != nil || len(left) != 3 {
		t.Fatal(left, err)
	}
	Sort(left)
	if left[0].Name != "on-demand-a-1780000000" || left[0].Node != "a" || !strings.HasPrefix(left[0].Location, "file:///") {
		t.Errorf("%+v", left[0])
	}
}

func TestOnlyTheStandardFolderIsMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db/snapshots")
	if err := (Folder{Path: path}).Ensure(); err == nil {
		t.Error("a folder that was asked for and is missing passes")
	}
	if err := (Folder{Path: path, Create: true}).Ensure(); err != nil {
		t.Error(err)
	}
}

func TestAFolderNeverGivesUpAFileElsewhere(t *testing.T) {
	other := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Folder{Path: t.TempDir()}).Delete(other); !NotFound(err) {
		t.Error(err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}
