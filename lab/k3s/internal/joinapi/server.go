// Package joinapi is how nodes of the stand-in join: the calls under /v1-k3s on port 6443, and /cacerts.
//
// The paths and the two roles follow k3s; the payloads are the stand-in's own, so a real k3s cannot join it.
package joinapi

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"seedbed/lab/k3s/internal/pki"
	"seedbed/lab/k3s/internal/token"
)

const (
	prefix        = "/v1-k3s/"
	headerNode    = "K3s-Node-Name"
	headerAddress = "K3s-Node-Ip"
	headerSecret  = "K3s-Node-Password"
	maxBody       = 64 << 10
)

// Settings are what an agent learns from the server that it joins.
type Settings struct {
	ClusterCIDR   string `json:"clusterCIDR"`
	ClusterDNS    string `json:"clusterDNS"`
	ClusterDomain string `json:"clusterDomain"`
	ClientCA      string `json:"clientCA"`
	PauseRegistry string `json:"systemDefaultRegistry"`
	NoKubeProxy   bool   `json:"disableKubeProxy"`
}

// Etcd adds a member and gives back etcd's --initial-cluster for it.
type Etcd interface {
	AddMember(ctx context.Context, name, peerURL string) (string, error)
}

// Passwords knows the password that the node of each name was first seen with; another one is ErrPassword.
type Passwords interface {
	Check(ctx context.Context, node, password string) error
}

// ErrPassword is k3s's own message. Source: k3s-io/k3s pkg/nodepassword/validate.go.
var ErrPassword = errors.New("Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match " +
	"server node-passwd entry, try enabling a unique node name with the --with-node-id flag")

// Handler answers the join calls of a server.
type Handler struct {
	TLSDir         string
	ServerPassword string
	AgentPassword  string // empty: agents join with the server's
	Settings       Settings
	Etcd           Etcd
	Passwords      Passwords
}

type call struct {
	method     string
	serverOnly bool
	answer     func(*Handler, http.ResponseWriter, *http.Request) error
}

var calls = map[string]call{
	"config":                {http.MethodGet, false, (*Handler).settings},
	"client-kubelet.crt":    {http.MethodPost, false, (*Handler).sign},
	"client-kube-proxy.crt": {http.MethodPost, false, (*Handler).sign},
	"serving-kubelet.crt":   {http.MethodPost, false, (*Handler).sign},
	"server-bootstrap":      {http.MethodGet, true, (*Handler).bootstrap},
	"etcd-join":             {http.MethodPost, true, (*Handler).etcdJoin},
}

// Handles tells whether the path is one of this package's.
func Handles(path string) bool {
	return path == "/ping" || path == "/cacerts" || strings.HasPrefix(path, prefix)
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ping":
		io.WriteString(w, "pong")
		return
	case "/cacerts":
		http.ServeFile(w, r, filepath.Join(h.TLSDir, "server-ca.crt"))
		return
	}
	role := h.role(r)
	if role == "" {
		http.Error(w, "not authorized", http.StatusUnauthorized)
		return
	}
	c, ok := calls[strings.TrimPrefix(r.URL.Path, prefix)]
	switch {
	case !ok:
		http.NotFound(w, r)
	case c.serverOnly && role != token.UserServer:
		http.Error(w, "an agent's token does not allow this", http.StatusForbidden)
	case r.Method != c.method:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	default:
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := c.answer(h, w, r); err != nil {
			log.Printf("level=error msg=\"%s for %s: %v\"", r.URL.Path, r.RemoteAddr, err)
			status := http.StatusServiceUnavailable
			if errors.Is(err, ErrPassword) {
				status = http.StatusForbidden
			}
			http.Error(w, err.Error(), status)
		}
	}
}

// role tells whom the credentials belong to: "server", "node" or nobody ("").
func (h *Handler) role(r *http.Request) string {
	user, password, _ := r.BasicAuth()
	want := map[string]string{token.UserServer: h.ServerPassword, token.UserNode: h.AgentPassword}[user]
	if user == token.UserNode && want == "" {
		want = h.ServerPassword
	}
	if want == "" || subtle.ConstantTimeCompare([]byte(password), []byte(want)) != 1 {
		return ""
	}
	return user
}

func (h *Handler) settings(w http.ResponseWriter, _ *http.Request) error {
	ca, err := os.ReadFile(filepath.Join(h.TLSDir, "client-ca.crt"))
	if err != nil {
		return err
	}
	s := h.Settings
	s.ClientCA = string(ca)
	return json.NewEncoder(w).Encode(s)
}

// sign issues one of the three certificates of a node; what is in it follows from the call, not the request.
func (h *Handler) sign(w http.ResponseWriter, r *http.Request) error {
	name := r.Header.Get(headerNode)
	if name == "" {
		return errors.New("the node's name is missing")
	}
	if err := h.Passwords.Check(r.Context(), name, r.Header.Get(headerSecret)); err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(body)
	if block == nil {
		return errors.New("no certificate request in the body")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	if err := request.CheckSignature(); err != nil {
		return err
	}
	authority, subject := "client-ca", KubeletClient(name)
	switch r.URL.Path {
	case prefix + "client-kube-proxy.crt":
		subject = KubeProxyClient()
	case prefix + "serving-kubelet.crt":
		remote, _, _ := net.SplitHostPort(r.RemoteAddr)
		authority, subject = "server-ca", KubeletServing(name, r.Header.Get(headerAddress), remote)
	}
	ca, err := pki.LoadCA(filepath.Join(h.TLSDir, authority))
	if err != nil {
		return err
	}
	cert, err := ca.Sign(request.PublicKey, subject)
	if err != nil {
		return err
	}
	_, err = w.Write(cert)
	return err
}

func (h *Handler) bootstrap(w http.ResponseWriter, _ *http.Request) error {
	files := map[string][]byte{}
	for _, name := range pki.SharedFiles() {
		data, err := os.ReadFile(filepath.Join(h.TLSDir, name))
		if err != nil {
			return err
		}
		files[name] = data
	}
	return json.NewEncoder(w).Encode(files)
}

func (h *Handler) etcdJoin(w http.ResponseWriter, r *http.Request) error {
	peerURL, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	initialCluster, err := h.Etcd.AddMember(r.Context(), r.Header.Get(headerNode), string(peerURL))
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, initialCluster)
	return err
}

// KubeletClient is whom a node's kubelet is to the API server.
func KubeletClient(name string) pki.Subject {
	return pki.Subject{CommonName: "system:node:" + name, Organization: "system:nodes"}
}

// KubeProxyClient is whom kube-proxy is to the API server.
func KubeProxyClient() pki.Subject { return pki.Subject{CommonName: "system:kube-proxy"} }

// KubeletServing is whom the kubelet is to those who connect to it.
func KubeletServing(name string, addresses ...string) pki.Subject {
	return pki.Subject{CommonName: name, SANs: append([]string{name, "127.0.0.1", "localhost"}, addresses...)}
}
