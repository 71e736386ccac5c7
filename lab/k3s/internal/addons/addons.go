// Package addons is the auto-deploy directory, server/manifests: which files to apply, and when again.
//
// Source: docs.k3s.io/installation/packaged-components. As in k3s, removing a file removes nothing from the
// cluster, NAME.yaml.skip beside a file keeps it from being applied, and --disable takes a component away.
package addons

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"text/template"

	"seedbed/lab/k3s/internal/pki"
)

//go:embed coredns.yaml
var coredns string

// CoreDNSImage is the one of k3s v1.34.2+k3s1 (k3s-io/docs docs/release-notes/v1.34.X.md).
const CoreDNSImage = "docker.io/rancher/mirrored-coredns-coredns:1.13.1"

// Absent are the components that k3s packages and the stand-in does not have.
var Absent = []string{"traefik", "servicelb", "local-storage", "metrics-server"}

// Values fill in the packaged manifests.
type Values struct {
	ClusterDNS    string
	ClusterDomain string
	CoreDNSImage  string
}

// Directory is an auto-deploy directory.
type Directory struct {
	Path    string
	applied map[string][sha256.Size]byte
}

// Install writes the packaged components that are not disabled, unless a .skip file forbids it. It gives the
// manifests of the disabled ones, which must go from the cluster.
func (d *Directory) Install(v Values, disabled []string) (remove [][]byte, err error) {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{"coredns": coredns} {
		var out bytes.Buffer
		if err := template.Must(template.New(name).Parse(text)).Execute(&out, v); err != nil {
			return nil, err
		}
		path := filepath.Join(d.Path, name+".yaml")
		switch {
		case slices.Contains(disabled, name):
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				return nil, err
			}
			remove = append(remove, out.Bytes())
		case skipped(path):
		default:
			if err := pki.WriteFile(path, out.Bytes(), 0o600); err != nil {
				return nil, err
			}
		}
	}
	return remove, nil
}

func skipped(path string) bool {
	_, err := os.Stat(path + ".skip")
	return err == nil
}

// Pending lists the files whose present content was not applied yet, in alphabetical order.
func (d *Directory) Pending() ([]string, error) {
	var out []string
	err := filepath.WalkDir(d.Path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) || skipped(path) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if d.applied[path] != sha256.Sum256(data) {
			out = append(out, path)
		}
		return nil
	})
	return out, err
}

// Applied remembers that a file's content is in the cluster.
func (d *Directory) Applied(path string, data []byte) {
	if d.applied == nil {
		d.applied = map[string][sha256.Size]byte{}
	}
	d.applied[path] = sha256.Sum256(data)
}
