package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"seedbed/lab/k3s/internal/balancer"
	"seedbed/lab/k3s/internal/joinapi"
	"seedbed/lab/k3s/internal/pki"
	"seedbed/lab/k3s/internal/settings"
	"seedbed/lab/k3s/internal/token"
)

const kubeletHealth = "http://127.0.0.1:10248/healthz"

// startAgent returns when the kubelet is healthy.
func (n *node) startAgent(ctx context.Context) error {
	var lb *balancer.Balancer
	if n.isServer {
		if err := n.issueNodeCertificates(ctx); err != nil {
			return err
		}
	} else {
		var err error
		if lb, err = n.join(ctx); err != nil {
			return err
		}
		if err := n.startContainerd(ctx); err != nil {
			return err
		}
	}
	for name, base := range map[string]string{"kubelet": "client-kubelet", "kubeproxy": "client-kube-proxy"} {
		path := filepath.Join(n.agentDir, name+".kubeconfig")
		if err := writeKubeconfig(path, localAPI, n.agentDir+"/server-ca.crt", filepath.Join(n.agentDir, base), 0o600); err != nil {
			return err
		}
	}
	preparePodNetwork(ctx, n.cluster.ClusterCIDR)
	if err := n.startKubelet(); err != nil {
		return err
	}
	// kube-proxy's credentials, because a node's own may not list the nodes (AuthorizeNodeWithSelectors, 1.34)
	kube, err := n.client(n.agentDir + "/kubeproxy.kubeconfig")
	if err != nil {
		return err
	}
	route := routePods(n.name)
	go kube.watchNodes(ctx, func(nodes []corev1.Node) {
		route(nodes)
		if found := servers(nodes); lb != nil && len(found) > 0 {
			lb.Set(found)
		}
	})
	return until(ctx, poll, kubeletHealthy)
}

func kubeletHealthy() bool {
	response, err := (&http.Client{Timeout: time.Second}).Get(kubeletHealth)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// issueNodeCertificates is a server's way to what an agent asks for by the join API.
func (n *node) issueNodeCertificates(ctx context.Context) error {
	kube, err := n.client(n.credential("admin"))
	if err != nil {
		return err
	}
	password, err := nodePassword()
	if err != nil {
		return err
	}
	if err := (nodePasswords{kube}).Check(ctx, n.name, password); err != nil {
		return err
	}
	for _, leaf := range []struct {
		authority, base string
		subject         pki.Subject
	}{
		{"client-ca", "client-kubelet", joinapi.KubeletClient(n.name)},
		{"client-ca", "client-kube-proxy", joinapi.KubeProxyClient()},
		{"server-ca", "serving-kubelet", joinapi.KubeletServing(n.name, n.ip)},
	} {
		ca, err := pki.LoadCA(filepath.Join(n.tls, leaf.authority))
		if err != nil {
			return err
		}
		if err := ca.Issue(filepath.Join(n.agentDir, leaf.base), leaf.subject); err != nil {
			return err
		}
	}
	for _, name := range []string{"server-ca.crt", "client-ca.crt"} {
		data, err := os.ReadFile(filepath.Join(n.tls, name))
		if err != nil {
			return err
		}
		if err := pki.WriteFile(filepath.Join(n.agentDir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// join gets the node's certificates and the cluster's settings from a server, through the local balancer
// that the kubelet and kube-proxy use afterwards.
func (n *node) join(ctx context.Context) (*balancer.Balancer, error) {
	secret, err := n.conf.Secret("token")
	if err != nil {
		return nil, err
	}
	if secret == "" {
		return nil, errors.New("--token is required")
	}
	server := n.conf.Get("server", "")
	if server == "" {
		return nil, errors.New("--server is required")
	}
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("--server must be https://<host>:<port>, not " + server)
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), apiPort)
	}
	tok, err := token.Parse(secret, token.UserNode)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", strings.TrimPrefix(localAPI, "https://"))
	if err != nil {
		return nil, err
	}
	lb := balancer.New(filepath.Join(n.agentDir, "etc/k3s-agent-load-balancer.json"), address)
	n.goOn("balancer", func() error { return lb.Serve(listener) })
	password, err := nodePassword()
	if err != nil {
		return nil, err
	}
	client, err := joinapi.Connect(ctx, localAPI, tok, joinapi.Node{Name: n.name, IP: n.ip, Password: password})
	if err != nil {
		return nil, err
	}
	for _, kind := range []string{"client-kubelet", "client-kube-proxy", "serving-kubelet"} {
		if err := client.Certificate(ctx, kind, filepath.Join(n.agentDir, kind)); err != nil {
			return nil, err
		}
	}
	if n.cluster, err = client.Settings(ctx); err != nil {
		return nil, err
	}
	for name, data := range map[string][]byte{"server-ca.crt": client.CA, "client-ca.crt": []byte(n.cluster.ClientCA)} {
		if err := pki.WriteFile(filepath.Join(n.agentDir, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	return lb, nil
}

// startKubelet starts kubelet and kube-proxy. As in k3s, operators add to the kubelet's settings by files in
// agent/etc/kubelet.conf.d (docs.k3s.io/installation/configuration).
func (n *node) startKubelet() error {
	conf, etc := n.nodeSettings(), filepath.Join(n.agentDir, "etc")
	if err := conf.Write("kubelet.yaml", etc+"/kubelet.conf.d/00-k3s-defaults.conf"); err != nil {
		return err
	}
	if err := conf.Write("kube-proxy.yaml", etc+"/kube-proxy.yaml"); err != nil {
		return err
	}
	if err := os.MkdirAll(n.agentDir+"/pod-manifests", 0o700); err != nil {
		return err
	}
	// what k3s's cloud controller would add to the node: its type and provider ID
	labels := append([]string{"node.kubernetes.io/instance-type=k3s"}, n.conf.List("node-label")...)
	args := []string{
		"--config-dir=" + etc + "/kubelet.conf.d",
		"--kubeconfig=" + n.agentDir + "/kubelet.kubeconfig",
		"--hostname-override=" + n.name,
		"--node-ip=" + n.ip,
		"--provider-id=k3s://" + n.name,
		"--node-labels=" + strings.Join(labels, ","),
	}
	if taints := n.conf.List("node-taint"); len(taints) > 0 {
		args = append(args, "--register-with-taints="+strings.Join(taints, ","))
	}
	n.component("kubelet", args...)
	if !n.cluster.NoKubeProxy {
		n.component("kube-proxy", "--config="+etc+"/kube-proxy.yaml", "--hostname-override="+n.name)
	}
	return nil
}

func (n *node) nodeSettings() settings.Node {
	return settings.Node{
		AgentDir:      n.agentDir,
		PauseImage:    n.conf.Get("pause-image", settings.Image(n.cluster.PauseRegistry, settings.PauseImage)),
		ClusterCIDR:   n.cluster.ClusterCIDR,
		ClusterDNS:    n.cluster.ClusterDNS,
		ClusterDomain: n.cluster.ClusterDomain,
		ResolvConf:    n.conf.Get("resolv-conf", settings.ResolvConf("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")),
	}
}
