// Package settings renders the configuration files of containerd, kubelet and kube-proxy.
package settings

import (
	"bytes"
	"embed"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"text/template"

	"seedbed/lab/k3s/internal/config"
	"seedbed/lab/k3s/internal/pki"
)

//go:embed templates
var files embed.FS

var templates = template.Must(template.ParseFS(files, "templates/*"))

// Socket is where k3s's containerd listens.
const Socket = "/run/k3s/containerd/containerd.sock"

// PauseImage is the sandbox image of k3s 1.34 (k3s-io/k3s pkg/cli/cmds/agent.go, DefaultPauseImage).
const PauseImage = "docker.io/rancher/mirrored-pause:3.6"

// Node is what the files are rendered from.
type Node struct {
	AgentDir      string // /var/lib/rancher/k3s/agent
	PauseImage    string
	ClusterCIDR   string
	ClusterDNS    string
	ClusterDomain string
	ResolvConf    string
	Socket        string
}

// Write renders template `name` into a file that only root can read.
func (n Node) Write(name, path string) error {
	n.Socket = Socket
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, n); err != nil {
		return err
	}
	return pki.WriteFile(path, out.Bytes(), 0o600)
}

// Image moves one of k3s's own images to the registry given by --system-default-registry.
func Image(registry, image string) string {
	if registry == "" {
		return image
	}
	return registry + "/" + strings.TrimPrefix(image, "docker.io/")
}

// ResolvConf picks the resolver file that pods can use: a stub on the node's loopback is out of their reach.
// Source: k3s-io/k3s pkg/agent/config/config.go, locateOrGenerateResolvConf.
func ResolvConf(candidates ...string) string {
	for _, path := range candidates {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) < 2 || fields[0] != "nameserver" {
				continue
			}
			if ip := net.ParseIP(fields[1]); ip != nil && ip.IsGlobalUnicast() {
				return path
			}
		}
	}
	return candidates[0]
}

// Address gives the n-th address of a network: the API's Service has the first, cluster DNS the tenth.
func Address(cidr string, n int) (string, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return "", err
	}
	address := prefix.Masked().Addr()
	for range n {
		address = address.Next()
	}
	if !prefix.Contains(address) {
		return "", fmt.Errorf("%s has no address number %d", cidr, n)
	}
	return address.String(), nil
}

// APIServerNames are the SANs of the API server's certificate: every name and address by which a client may
// reach it. Source: docs.k3s.io/cli/server (tls-san), k3s-io/k3s pkg/daemons/control/deps/deps.go.
func APIServerNames(c *config.Config, nodeName, nodeIP, serviceIP string) []string {
	domain := c.Get("cluster-domain", "cluster.local")
	names := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain,
		"localhost", "127.0.0.1", "::1", nodeName, nodeIP, serviceIP,
	}
	names = append(names, c.Split("node-external-ip")...)
	names = append(names, c.Split("advertise-address")...)
	return append(names, c.Split("tls-san")...)
}
