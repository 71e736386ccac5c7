// Package registries turns k3s's registries.yaml into the hosts.toml files that containerd reads.
//
// Format: docs.k3s.io/installation/private-registry, containerd docs/hosts.md.
package registries

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"seedbed/lab/k3s/internal/pki"
)

type file struct {
	Mirrors map[string]struct {
		Endpoints []string          `json:"endpoint"`
		Rewrites  map[string]string `json:"rewrite"`
	} `json:"mirrors"`
	Configs map[string]hostConfig `json:"configs"`
}

type hostConfig struct {
	Auth *struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Auth     string `json:"auth"`
	} `json:"auth"`
	TLS *struct {
		CAFile             string `json:"ca_file"`
		CertFile           string `json:"cert_file"`
		KeyFile            string `json:"key_file"`
		InsecureSkipVerify bool   `json:"insecure_skip_verify"`
	} `json:"tls"`
}

// Write replaces the directory `out` by one folder a registry. A missing file means no folder.
func Write(path, out string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	hosts, err := render(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for folder, text := range hosts {
		if err := pki.WriteFile(filepath.Join(out, folder, "hosts.toml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func render(data []byte) (map[string]string, error) {
	var f file
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for name := range f.Mirrors {
		names[name] = true
	}
	for name := range f.Configs {
		names[name] = true
	}
	out := map[string]string{}
	for name := range names {
		mirror := f.Mirrors[name]
		if len(mirror.Rewrites) > 0 {
			return nil, fmt.Errorf("mirrors.%s: rewrite is a patch of k3s's own containerd, which this lab stand-in does not have", name)
		}
		var text strings.Builder
		if name != "*" {
			fmt.Fprintf(&text, "server = %q\n", server(name))
		}
		for _, endpoint := range mirror.Endpoints {
			u, err := parse(endpoint)
			if err != nil {
				return nil, fmt.Errorf("mirrors.%s: %w", name, err)
			}
			host(&text, u, f.Configs)
		}
		if len(mirror.Endpoints) == 0 && name != "*" {
			u, err := parse(server(name))
			if err != nil {
				return nil, fmt.Errorf("configs.%s: %w", name, err)
			}
			host(&text, u, map[string]hostConfig{u.Host: f.Configs[name]})
		}
		folder := name
		if name == "*" {
			folder = "_default"
		}
		out[folder] = text.String()
	}
	return out, nil
}

// server is the registry behind a name: Docker Hub's API has another host name.
func server(name string) string {
	if name == "docker.io" {
		return "https://registry-1.docker.io/v2"
	}
	return scheme(name) + name + "/v2"
}

// scheme: plain HTTP is the default only for the loopback interface, as in k3s and containerd.
func scheme(host string) string {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if ip := net.ParseIP(name); name == "localhost" || (ip != nil && ip.IsLoopback()) {
		return "http://"
	}
	return "https://"
}

func parse(endpoint string) (*url.URL, error) {
	if !strings.Contains(endpoint, "://") {
		host, _, _ := strings.Cut(endpoint, "/")
		endpoint = scheme(host) + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not the URL of a registry", endpoint)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

func host(out *strings.Builder, u *url.URL, configs map[string]hostConfig) {
	fmt.Fprintf(out, "\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", u.String())
	c := configs[u.Host]
	if t := c.TLS; t != nil {
		if t.CAFile != "" {
			fmt.Fprintf(out, "  ca = %q\n", t.CAFile)
		}
		if t.CertFile != "" {
			fmt.Fprintf(out, "  client = [[%q, %q]]\n", t.CertFile, t.KeyFile)
		}
		if t.InsecureSkipVerify {
			out.WriteString("  skip_verify = true\n")
		}
	}
	if a := c.Auth; a != nil && (a.Username != "" || a.Auth != "") {
		credentials := a.Auth
		if credentials == "" {
			credentials = base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password))
		}
		fmt.Fprintf(out, "  [host.%q.header]\n    Authorization = [%q]\n", u.String(), "Basic "+credentials)
	}
}
