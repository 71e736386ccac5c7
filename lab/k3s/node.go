package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"seedbed/lab/k3s/internal/config"
	"seedbed/lab/k3s/internal/joinapi"
	"seedbed/lab/k3s/internal/pki"
	"seedbed/lab/k3s/internal/settings"
	"seedbed/lab/k3s/internal/supervise"
)

const (
	poll       = 100 * time.Millisecond
	apiPort    = "6443" // the join API and the API server behind it
	localAPI   = "https://127.0.0.1:6444"
	defaultDir = "/var/lib/rancher/k3s"
)

// node is one server or agent.
type node struct {
	conf     *config.Config
	isServer bool
	name, ip string
	dir      string // k3s's data directory
	tls      string // server/tls
	agentDir string
	cluster  joinapi.Settings
	children supervise.Children
	broken   chan error // a part that cannot go on ends the process
}

func newNode(conf *config.Config, isServer bool) (*node, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	n := &node{
		conf: conf, isServer: isServer, dir: conf.Get("data-dir", defaultDir),
		name: strings.ToLower(conf.Get("node-name", host)), ip: conf.First("node-ip", ""), broken: make(chan error, 1),
	}
	n.tls, n.agentDir = filepath.Join(n.dir, "server/tls"), filepath.Join(n.dir, "agent")
	if n.ip == "" {
		// No packet is sent: connecting a UDP socket only asks for the address towards the default route.
		conn, err := net.Dial("udp", "192.0.2.1:9")
		if err != nil {
			return nil, fmt.Errorf("no default route and no --node-ip: %w", err)
		}
		n.ip = conn.LocalAddr().(*net.UDPAddr).IP.String()
		conn.Close()
	}
	n.cluster = joinapi.Settings{
		ClusterCIDR:   conf.First("cluster-cidr", "10.42.0.0/16"),
		ClusterDomain: conf.Get("cluster-domain", "cluster.local"),
		PauseRegistry: conf.Get("system-default-registry", ""),
		NoKubeProxy:   conf.Bool("disable-kube-proxy"),
	}
	dns, err := settings.Address(n.serviceCIDR(), 10)
	if err != nil {
		return nil, fmt.Errorf("--service-cidr: %w", err)
	}
	n.cluster.ClusterDNS = conf.First("cluster-dns", dns)
	return n, nil
}

func (n *node) serviceCIDR() string { return n.conf.First("service-cidr", "10.43.0.0/16") }

// start brings the node up; what goes on afterwards runs in the background.
func (n *node) start(ctx context.Context) error {
	if n.isServer {
		if err := n.startServer(ctx); err != nil {
			return fmt.Errorf("starting kubernetes: %w", err)
		}
	}
	if !n.isServer || !n.conf.Bool("disable-agent") {
		if err := n.startAgent(ctx); err != nil {
			return fmt.Errorf("starting agent: %w", err)
		}
	}
	return nil
}

// goOn runs a part of the node in the background; its failure ends the process, so that systemd restarts it.
func (n *node) goOn(name string, part func() error) {
	go func() {
		if err := part(); err != nil {
			select {
			case n.broken <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
	}()
}

// component keeps an upstream component running, with the operator's own flags last.
func (n *node) component(name string, args ...string) {
	for _, arg := range n.conf.List(name + "-arg") {
		args = append(args, "--"+strings.TrimLeft(arg, "-"))
	}
	keep := worthKeeping
	if n.conf.Bool("debug") {
		keep = func([]byte) bool { return true }
	}
	n.children.Start(name, keep, self, append([]string{name}, args...)...)
}

// worthKeeping drops the components' routine messages, so that the last lines of the journal say what is
// wrong: klog's levels I and W, of which a healthy start writes hundreds. --debug keeps them.
func worthKeeping(line []byte) bool {
	klog := len(line) > 5 && line[5] == ' ' && line[1] >= '0' && line[1] <= '1' // I1121 08:32:43.228845 …
	return !klog || line[0] != 'I' && line[0] != 'W'
}

// writeKubeconfig makes a kubeconfig whose user is the certificate at certBase.
func writeKubeconfig(path, server, caFile, certBase string, mode os.FileMode) error {
	var data [3]string
	for i, file := range []string{caFile, certBase + ".crt", certBase + ".key"} {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		data[i] = base64.StdEncoding.EncodeToString(raw)
	}
	return pki.WriteFile(path, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: default
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: default
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: default
  context:
    cluster: default
    user: default
current-context: default
`, server, data[0], data[1], data[2]), mode)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// until polls a condition; it fails only when the context ends.
func until(ctx context.Context, interval time.Duration, ok func() bool) error {
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
	}
	return nil
}
