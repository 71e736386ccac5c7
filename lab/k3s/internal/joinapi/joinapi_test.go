package joinapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/lab/k3s/internal/pki"
	"seedbed/lab/k3s/internal/token"
)

type fakeEtcd struct{ joined []string }

func (f *fakeEtcd) AddMember(_ context.Context, name, peerURL string) (string, error) {
	f.joined = append(f.joined, name)
	return name + "=" + peerURL, nil
}

type fakePasswords map[string]string

func (f fakePasswords) Check(_ context.Context, node, password string) error {
	if known, ok := f[node]; ok && known != password {
		return ErrPassword
	}
	f[node] = password
	return nil
}

// start runs a server with its own authorities and gives its URL and CA.
func start(t *testing.T, agentPassword string) (string, []byte, *fakeEtcd) {
	t.Helper()
	dir := t.TempDir()
	for base, name := range pki.Authorities {
		if _, err := pki.EnsureCA(filepath.Join(dir, base), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := pki.EnsureServiceKey(filepath.Join(dir, pki.ServiceKey)); err != nil {
		t.Fatal(err)
	}
	ca, err := pki.LoadCA(filepath.Join(dir, "server-ca"))
	if err != nil {
		t.Fatal(err)
	}
	leaf := filepath.Join(dir, "serving")
	if err := ca.Issue(leaf, pki.Subject{CommonName: "x", SANs: []string{"127.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(leaf+".crt", leaf+".key")
	if err != nil {
		t.Fatal(err)
	}
	etcd := &fakeEtcd{}
	server := httptest.NewUnstartedServer(&Handler{
		TLSDir: dir, ServerPassword: "server-pw", AgentPassword: agentPassword,
		Settings: Settings{ClusterCIDR: "10.42.0.0/16"}, Etcd: etcd, Passwords: fakePasswords{},
	})
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	t.Cleanup(server.Close)
	caPEM, err := os.ReadFile(filepath.Join(dir, "server-ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	return server.URL, caPEM, etcd
}

func connect(t *testing.T, url string, ca []byte, user, password string) *Client {
	t.Helper()
	return connectAs(t, url, ca, user, password, "the first's")
}

func connectAs(t *testing.T, url string, ca []byte, user, password, own string) *Client {
	t.Helper()
	full, err := token.Format(ca, user, password)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.Parse(full, user)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Connect(t.Context(), url, tok, Node{"agent-a-1", "10.77.0.21", own})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnAgentsTokenGetsANodesCertificatesAndTheSettings(t *testing.T) {
	url, ca, _ := start(t, "agent-pw")
	c := connect(t, url, ca, token.UserNode, "agent-pw")
	s, err := c.Settings(t.Context())
	if err != nil || s.ClusterCIDR != "10.42.0.0/16" || !strings.Contains(s.ClientCA, "BEGIN CERTIFICATE") {
		t.Fatalf("%+v, %v", s, err)
	}
	base := filepath.Join(t.TempDir(), "kubelet")
	for kind, want := range map[string]string{"client-kubelet": "system:node:agent-a-1", "client-kube-proxy": "system:kube-proxy", "serving-kubelet": "agent-a-1"} {
		if err := c.Certificate(t.Context(), kind, base); err != nil {
			t.Fatal(err)
		}
		data, _ := os.ReadFile(base + ".crt")
		block, _ := pem.Decode(data)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || cert.Subject.CommonName != want {
			t.Errorf("%s is for %q, %v", kind, cert.Subject.CommonName, err)
		}
		if kind == "serving-kubelet" && cert.VerifyHostname("10.77.0.21") != nil {
			t.Error("the kubelet's certificate lacks the node's address")
		}
	}
}

func TestAnotherMachineOfAKnownNodesNameGetsNoCertificate(t *testing.T) {
	url, ca, _ := start(t, "agent-pw")
	base := filepath.Join(t.TempDir(), "kubelet")
	for own, refused := range map[string]bool{"the first's": false, "another": true} {
		connect(t, url, ca, token.UserNode, "agent-pw").Certificate(t.Context(), "client-kubelet", base)
		err := connectAs(t, url, ca, token.UserNode, "agent-pw", own).Certificate(t.Context(), "client-kubelet", base)
		if errors.Is(err, ErrRefused) != refused || refused && !strings.Contains(err.Error(), "Node password rejected") {
			t.Errorf("%s: %v", own, err)
		}
	}
}

func TestAnAgentsTokenNeitherTakesTheKeysNorJoinsEtcd(t *testing.T) {
	url, ca, etcd := start(t, "agent-pw")
	c := connect(t, url, ca, token.UserNode, "agent-pw")
	if files, err := c.Bootstrap(t.Context()); !errors.Is(err, ErrRefused) || len(files) != 0 || !strings.Contains(err.Error(), "403") {
		t.Errorf("server-bootstrap: %d files, %v", len(files), err)
	}
	if _, err := c.JoinEtcd(t.Context(), "https://10.77.0.21:2380"); !errors.Is(err, ErrRefused) || len(etcd.joined) != 0 {
		t.Errorf("etcd-join: %v, joined %v", err, etcd.joined)
	}
}

func TestAServersTokenTakesTheAuthoritiesAndJoinsEtcd(t *testing.T) {
	url, ca, etcd := start(t, "agent-pw")
	c := connect(t, url, ca, token.UserServer, "server-pw")
	files, err := c.Bootstrap(t.Context())
	if err != nil || len(files) != len(pki.SharedFiles()) || string(files["server-ca.crt"]) != string(ca) {
		t.Errorf("%d files, %v", len(files), err)
	}
	got, err := c.JoinEtcd(t.Context(), "https://10.77.0.12:2380")
	if err != nil || got != "agent-a-1=https://10.77.0.12:2380" || len(etcd.joined) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWrongCredentialsAreRefusedAtOnce(t *testing.T) {
	url, ca, _ := start(t, "agent-pw")
	for _, c := range []*Client{
		connect(t, url, ca, token.UserServer, "agent-pw"), // the agents' password is not the servers'
		connect(t, url, ca, token.UserNode, "server-pw"),
		connect(t, url, ca, token.UserServer, "guess"),
	} {
		if _, err := c.Settings(t.Context()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "401") {
			t.Error(err)
		}
	}
	response, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}).Get(url + "/v1-k3s/server-bootstrap")
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without credentials: %v, %v", response.Status, err)
	}
	response.Body.Close()
}

func TestWithoutAnAgentTokenAgentsJoinWithTheServers(t *testing.T) {
	url, ca, _ := start(t, "")
	c := connect(t, url, ca, token.UserNode, "server-pw")
	if _, err := c.Settings(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Bootstrap(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("user node took the keys: %v", err)
	}
}

func TestATokenOfAnotherClusterIsRefusedBeforeThePasswordIsSent(t *testing.T) {
	url, _, _ := start(t, "")
	_, other, _ := start(t, "")
	full, err := token.Format(other, token.UserNode, "server-pw")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.Parse(full, token.UserNode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Connect(t.Context(), url, tok, Node{Name: "a", IP: "127.0.0.1"}); err == nil || !strings.Contains(err.Error(), "token CA hash does not match") {
		t.Error(err)
	}
}
