package registries

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, text string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	path, out := filepath.Join(dir, "registries.yaml"), filepath.Join(dir, "certs.d")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return out, Write(path, out)
}

func check(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(got)) != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwanted:\n%s", path, got, want)
	}
}

func TestMirrorsBecomeHostsWithTheirTLSAndCredentials(t *testing.T) {
	out, err := write(t, `
mirrors:
  docker.io:
    endpoint: ["https://mirror.example:5000/", "localhost:5001"]
  "*":
    endpoint: ["https://mirror.example:5000"]
configs:
  mirror.example:5000:
    auth: {username: user, password: pass}
    tls: {ca_file: /etc/ca.crt, cert_file: /etc/c.crt, key_file: /etc/c.key, insecure_skip_verify: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	mirror := `
[host."https://mirror.example:5000"]
  capabilities = ["pull", "resolve"]
  ca = "/etc/ca.crt"
  client = [["/etc/c.crt", "/etc/c.key"]]
  skip_verify = true
  [host."https://mirror.example:5000".header]
    Authorization = ["Basic dXNlcjpwYXNz"]
`
	check(t, filepath.Join(out, "docker.io/hosts.toml"), `server = "https://registry-1.docker.io/v2"
`+mirror+`
[host."http://localhost:5001"]
  capabilities = ["pull", "resolve"]`)
	check(t, filepath.Join(out, "_default/hosts.toml"), mirror)
	check(t, filepath.Join(out, "mirror.example:5000/hosts.toml"), `server = "https://mirror.example:5000/v2"
`+strings.ReplaceAll(mirror, "mirror.example:5000\"", "mirror.example:5000/v2\""))
}

func TestNoFileMeansNoFoldersAndRemovesOldOnes(t *testing.T) {
	out := filepath.Join(t.TempDir(), "certs.d")
	if err := os.MkdirAll(filepath.Join(out, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write("/nonexistent/registries.yaml", out); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(out); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

func TestWhatCannotBeHonouredIsRefused(t *testing.T) {
	for _, text := range []string{
		"mirrors: {docker.io: {endpoint: [\"ftp://x\"]}}",
		"mirrors: {docker.io: {rewrite: {\"^a\": b}}}",
		"mirors: {}",
		"mirrors: [",
	} {
		if _, err := write(t, text); err == nil || !strings.Contains(err.Error(), "registries.yaml") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
