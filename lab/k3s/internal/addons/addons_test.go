package addons

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var values = Values{ClusterDNS: "10.43.0.10", ClusterDomain: "cluster.local", CoreDNSImage: CoreDNSImage}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func pending(t *testing.T, d *Directory) []string {
	t.Helper()
	paths, err := d.Pending()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range paths {
		name, _ := filepath.Rel(d.Path, p)
		names = append(names, name)
	}
	return names
}

func TestFilesAreAppliedOnceAndAgainWhenTheyChange(t *testing.T) {
	d := &Directory{Path: t.TempDir()}
	write(t, filepath.Join(d.Path, "b.yaml"), "b")
	write(t, filepath.Join(d.Path, "sub/a.json"), "a")
	write(t, filepath.Join(d.Path, "readme.txt"), "no")
	if got := pending(t, d); !slices.Equal(got, []string{"b.yaml", "sub/a.json"}) {
		t.Fatal(got)
	}
	d.Applied(filepath.Join(d.Path, "b.yaml"), []byte("b"))
	if got := pending(t, d); !slices.Equal(got, []string{"sub/a.json"}) {
		t.Error(got)
	}
	write(t, filepath.Join(d.Path, "b.yaml"), "b2")
	if got := pending(t, d); !slices.Equal(got, []string{"b.yaml", "sub/a.json"}) {
		t.Error(got)
	}
}

func TestASkipFileKeepsAManifestFromBeingApplied(t *testing.T) {
	d := &Directory{Path: t.TempDir()}
	write(t, filepath.Join(d.Path, "coredns.yaml"), "mine")
	write(t, filepath.Join(d.Path, "coredns.yaml.skip"), "")
	if _, err := d.Install(values, nil); err != nil {
		t.Fatal(err)
	}
	if got := pending(t, d); len(got) != 0 {
		t.Error(got)
	}
	if data, _ := os.ReadFile(filepath.Join(d.Path, "coredns.yaml")); string(data) != "mine" {
		t.Error("a skipped file was rewritten")
	}
}

func TestADisabledComponentLosesItsFileAndIsGivenForRemoval(t *testing.T) {
	d := &Directory{Path: t.TempDir()}
	if remove, err := d.Install(values, nil); err != nil || len(remove) != 0 {
		t.Fatal(len(remove), err)
	}
	text, err := os.ReadFile(filepath.Join(d.Path, "coredns.yaml"))
	if err != nil || !strings.Contains(string(text), "clusterIP: 10.43.0.10") || strings.Contains(string(text), "{{") {
		t.Fatalf("%v\n%s", err, text)
	}
	remove, err := d.Install(values, []string{"traefik", "coredns"})
	if err != nil || len(remove) != 1 || string(remove[0]) != string(text) {
		t.Fatal(len(remove), err)
	}
	if got := pending(t, d); len(got) != 0 {
		t.Error(got)
	}
}
