package settings

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"seedbed/lab/k3s/internal/config"
	"seedbed/lab/k3s/internal/pki"
)

func render(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	n := Node{AgentDir: "/a", PauseImage: PauseImage, ClusterCIDR: "10.42.0.0/16", ClusterDNS: "10.43.0.10", ClusterDomain: "cluster.local", ResolvConf: "/etc/resolv.conf"}
	if err := n.Write(name, path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTheFilesAreWhatTheirReadersExpect(t *testing.T) {
	for _, name := range []string{"kubelet.yaml", "kube-proxy.yaml"} {
		var v map[string]any
		if err := yaml.UnmarshalStrict([]byte(render(t, name)), &v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	cni := render(t, "cni.json")
	if !json.Valid([]byte(cni)) || !strings.Contains(cni, `"{{.PodCIDR}}"`) {
		t.Errorf("containerd fills in the pod CIDR by its own template:\n%s", cni)
	}
	toml := render(t, "containerd.toml")
	for _, want := range []string{`sandbox_image = "docker.io/rancher/mirrored-pause:3.6"`, `root = "/a/containerd"`, `restrict_oom_score_adj = true`} {
		if !strings.Contains(toml, want) {
			t.Errorf("containerd.toml lacks %s", want)
		}
	}
}

func TestAResolverOnLoopbackIsNotGivenToPods(t *testing.T) {
	dir := t.TempDir()
	stub, real := filepath.Join(dir, "stub"), filepath.Join(dir, "real")
	os.WriteFile(stub, []byte("# stub\nnameserver 127.0.0.53\noptions edns0\n"), 0o600)
	os.WriteFile(real, []byte("search x\nnameserver 10.77.0.2\n"), 0o600)
	if got := ResolvConf(stub, real); got != real {
		t.Error(got)
	}
	if got := ResolvConf(stub, filepath.Join(dir, "absent")); got != stub {
		t.Errorf("with nothing better the first is taken: %s", got)
	}
}

func TestTheDefaultRegistryReplacesDockerHub(t *testing.T) {
	if got := Image("mirror.example", PauseImage); got != "mirror.example/rancher/mirrored-pause:3.6" {
		t.Error(got)
	}
	if got := Image("", PauseImage); got != PauseImage {
		t.Error(got)
	}
}

func TestTheAPIServersCertificateNamesWhatTlsSanSays(t *testing.T) {
	c, err := config.Load(config.Server, []string{"--tls-san=api.example,203.0.113.7", "--tls-san", "10.77.0.11", "--advertise-address=10.77.0.12"}, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "server-ca")
	if _, err := pki.EnsureCA(base, "ca"); err != nil {
		t.Fatal(err)
	}
	ca, err := pki.LoadCA(base)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Issue(base+"-leaf", pki.Subject{SANs: APIServerNames(c, "server-a-1", "10.77.0.11", "10.43.0.1")}); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(base + "-leaf.crt")
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api.example", "203.0.113.7", "10.77.0.11", "10.77.0.12", "10.43.0.1", "127.0.0.1", "server-a-1", "kubernetes.default.svc.cluster.local"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

func TestServiceAddressesAreCountedFromTheNetwork(t *testing.T) {
	if got, err := Address("10.43.0.0/16", 10); err != nil || got != "10.43.0.10" {
		t.Error(got, err)
	}
	for _, cidr := range []string{"10.43.0.0/30", "nonsense"} {
		if got, err := Address(cidr, 10); err == nil {
			t.Errorf("%s: %s", cidr, got)
		}
	}
}
