package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func noEnv(string) string { return "" }

func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

// write lays out config.yaml and config.yaml.d/NAME and returns the path of config.yaml.
func write(t *testing.T, main string, dropIns map[string]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range dropIns {
		if err := os.MkdirAll(file+".d", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(file+".d", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func load(t *testing.T, command Command, file string, args ...string) *Config {
	t.Helper()
	c, err := Load(command, append([]string{"--config", file}, args...), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestALaterDropInReplacesAndAPlusKeyAppends(t *testing.T) {
	file := write(t, "node-name: a\nnode-label: [one=1]\ntls-san: [first.example]\n", map[string]string{
		"20-more.yaml":  "node-label+: [two=2]\n",
		"10-first.yaml": "tls-san: [second.example]\nnode-name: b\n",
		"30-last.yml":   "node-label+:\n- three=3\n",
		"40-not.txt":    "node-name: c\n",
	})
	c := load(t, Server, file)
	if got := c.List("node-label"); !slices.Equal(got, []string{"one=1", "two=2", "three=3"}) {
		t.Errorf("node-label = %v", got)
	}
	if got := c.List("tls-san"); !slices.Equal(got, []string{"second.example"}) {
		t.Errorf("tls-san = %v", got)
	}
	if got := c.Get("node-name", ""); got != "b" {
		t.Errorf("node-name = %q", got)
	}
}

func TestWhatIsKnownLateIsAddedByDropIns(t *testing.T) {
	file := write(t, "tls-san: [k8s.example.org, 10.20.0.11]\nserver: https://10.20.0.11:6443\n", map[string]string{
		"80-endpoint.yaml":  "tls-san+: [203.0.113.3]\nserver: https://203.0.113.3:6443\n",
		"90-snapshots.yaml": "tls-san+: 203.0.113.4\netcd-s3-access-key: key\n", // k3s takes one value for a list of one
	})
	c := load(t, Server, file)
	if got := c.Split("tls-san"); !slices.Equal(got, []string{"k8s.example.org", "10.20.0.11", "203.0.113.3", "203.0.113.4"}) {
		t.Errorf("tls-san = %v", got)
	}
	if got := c.Get("server", ""); got != "https://203.0.113.3:6443" {
		t.Errorf("server = %q", got)
	}
	if got := load(t, Agent, write(t, "{}\n", map[string]string{"80-endpoint.yaml": "server: https://203.0.113.3:6443\n"})).Get("server", ""); got != "https://203.0.113.3:6443" {
		t.Errorf("an agent's server = %q", got)
	}
	only := filepath.Join(t.TempDir(), "config.yaml") // drop-ins alone, adding to what is not there
	if err := os.Mkdir(only+".d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(only+".d/80-endpoint.yaml", []byte("tls-san+: [203.0.113.3]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Server, nil, env(map[string]string{"K3S_CONFIG_FILE": only}))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Split("tls-san"); !slices.Equal(got, []string{"203.0.113.3"}) {
		t.Errorf("tls-san = %v", got)
	}
}

func TestTheCommandLineBeatsTheFileAndReplacesLists(t *testing.T) {
	file := write(t, "node-label: [one=1]\nserver: https://file:6443\n", nil)
	c := load(t, Server, file, "--node-label=two=2", "--node-label", "three=3", "-s", "https://flag:6443")
	if got := c.List("node-label"); !slices.Equal(got, []string{"two=2", "three=3"}) {
		t.Errorf("node-label = %v", got)
	}
	if got := c.Get("server", ""); got != "https://flag:6443" {
		t.Errorf("server = %q", got)
	}
}

func TestTheFileBeatsTheEnvironment(t *testing.T) {
	file := write(t, "token: from-file\n", nil)
	c, err := Load(Agent, nil, env(map[string]string{
		"K3S_CONFIG_FILE": file, "K3S_TOKEN": "from-env", "K3S_URL": "https://env:6443",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Get("token", ""); got != "from-file" {
		t.Errorf("token = %q", got)
	}
	if got := c.Get("server", ""); got != "https://env:6443" {
		t.Errorf("server = %q", got)
	}
}

func TestNumbersAndSwitchesKeepTheirText(t *testing.T) {
	file := write(t, "cluster-init: true\netcd-snapshot-retention: 10000000\nwrite-kubeconfig-mode: \"0640\"\nflannel-external-ip: false\n", nil)
	c := load(t, Server, file)
	if !c.Bool("cluster-init") || c.Bool("flannel-external-ip") {
		t.Error("the switches are not as they were set")
	}
	if got := c.Get("etcd-snapshot-retention", ""); got != "10000000" {
		t.Errorf("etcd-snapshot-retention = %q", got)
	}
	if got := c.Get("write-kubeconfig-mode", ""); got != "0640" {
		t.Errorf("write-kubeconfig-mode = %q", got)
	}
}

func TestAnUnknownFlagOrKeyStopsWithK3sWords(t *testing.T) {
	for name, load := range map[string]func() error{
		"flag": func() error { _, err := Load(Server, []string{"--xyz=1"}, noEnv); return err },
		"key": func() error {
			_, err := Load(Server, []string{"--config", write(t, "xyz: 1\n", nil)}, noEnv)
			return err
		},
		"a server's key on an agent": func() error {
			_, err := Load(Agent, []string{"--config", write(t, "cluster-init: true\n", nil)}, noEnv)
			return err
		},
	} {
		err := load()
		if err == nil || !strings.Contains(err.Error(), "flag provided but not defined: -") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSnapshotCommandSkipsKeysItDoesNotKnow(t *testing.T) {
	c := load(t, Snapshot, write(t, "future-key: 1\nnode-name: a\n", nil), "--name", "before-upgrade")
	if c.Get("node-name", "") != "a" || c.Get("name", "") != "before-upgrade" {
		t.Error("the known settings are lost")
	}
}

func TestTheSnapshotCommandTakesFlagsBeforeAndBehindTheAction(t *testing.T) {
	file := write(t, "token: t\netcd-s3-folder: dev\n", nil)
	c := load(t, Snapshot, file, "--s3", "--s3-bucket", "b", "delete", "--snapshot-retention=3", "--dir", "/d", "-o", "json", "one", "two")
	if !slices.Equal(c.Args, []string{"delete", "one", "two"}) {
		t.Errorf("args = %v", c.Args)
	}
	for name, want := range map[string]string{
		"etcd-s3": "true", "etcd-s3-bucket": "b", "etcd-s3-folder": "dev", "etcd-snapshot-retention": "3", "etcd-snapshot-dir": "/d", "output": "json",
	} {
		if got := c.Get(name, ""); got != want {
			t.Errorf("%s = %q", name, got)
		}
	}
	if _, err := Load(Snapshot, []string{"--config", file, "delete", "one", "--s3"}, noEnv); err == nil || !strings.Contains(err.Error(), "flags go before") {
		t.Error(err)
	}
	if _, err := Load(Server, []string{"--config", file, "--s3"}, noEnv); err == nil {
		t.Error("a server took a flag of etcd-snapshot")
	}
}

func TestNumbersAndDurationsAreChecked(t *testing.T) {
	for _, text := range []string{"etcd-snapshot-retention: many\n", "etcd-s3-timeout: 5\n", "etcd-s3-retention: 1.5\n"} {
		_, err := Load(Server, []string{"--config", write(t, text, nil)}, noEnv)
		if err == nil || !strings.Contains(err.Error(), "for -"+text[:strings.Index(text, ":")]) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestBrokenFilesAreRefusedWithTheirPath(t *testing.T) {
	for _, text := range []string{"a: [", "- a list\n", "node-label: {a: b}\n", "cluster-init: perhaps\n"} {
		file := write(t, text, nil)
		_, err := Load(Server, []string{"--config", file}, noEnv)
		if err == nil || (!strings.Contains(err.Error(), file) && !strings.Contains(err.Error(), "cluster-init")) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestANamedFileMustExist(t *testing.T) {
	if _, err := Load(Server, []string{"--config", "/nonexistent/config.yaml"}, noEnv); err == nil {
		t.Error("a missing --config file was ignored")
	}
}

func TestAFlagWithoutItsValueIsRefused(t *testing.T) {
	if _, err := Load(Server, []string{"--token"}, noEnv); err == nil || !strings.Contains(err.Error(), "flag needs an argument: -token") {
		t.Error(err)
	}
}

func TestWhatWouldChangeTheClusterIsRefusedAndTheRestIsNamedInert(t *testing.T) {
	if _, err := Load(Server, []string{"--datastore-endpoint=mysql://x"}, noEnv); err == nil || !strings.Contains(err.Error(), "stand-in") {
		t.Error(err)
	}
	file := write(t, "secrets-encryption: true\nembedded-registry: false\nflannel-backend: vxlan\n", nil)
	if got := load(t, Server, file).Inert(); !slices.Equal(got, []string{"flannel-backend", "secrets-encryption"}) {
		t.Errorf("inert = %v", got)
	}
}

func TestASecretComesFromItsValueOrItsFile(t *testing.T) {
	dir := t.TempDir()
	full, empty := filepath.Join(dir, "full"), filepath.Join(dir, "empty")
	for path, text := range map[string]string{full: "s3cret\n", empty: "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := write(t, "agent-token-file: "+full+"\n", nil)
	if got, err := load(t, Server, file).Secret("agent-token"); err != nil || got != "s3cret" {
		t.Errorf("%q, %v", got, err)
	}
	for _, path := range []string{empty, filepath.Join(dir, "absent")} {
		if _, err := load(t, Server, file, "--token-file", path).Secret("token"); err == nil {
			t.Errorf("%s was accepted", path)
		}
	}
}

func TestCommaSeparatedListsAreSplit(t *testing.T) {
	c := load(t, Server, write(t, "disable: [\"traefik,servicelb\", metrics-server]\n", nil))
	if got := c.Split("disable"); !slices.Equal(got, []string{"traefik", "servicelb", "metrics-server"}) {
		t.Errorf("disable = %v", got)
	}
}
