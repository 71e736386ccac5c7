package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"seedbed/lab/k3s/internal/addons"
	"seedbed/lab/k3s/internal/joinapi"
	"seedbed/lab/k3s/internal/pki"
	"seedbed/lab/k3s/internal/settings"
	"seedbed/lab/k3s/internal/token"
)

// startServer returns when the API is ready.
func (n *node) startServer(ctx context.Context) error {
	if err := n.mayReset(); err != nil {
		return err
	}
	saving, err := n.snapshotSettings()
	if err != nil {
		return err
	}
	password, err := n.serverPassword()
	if err != nil {
		return err
	}
	initialCluster := n.name + "=" + n.peerURL()
	state := "new"
	if join := n.conf.Get("server", ""); join != "" && !exists(n.etcdDir()) {
		if initialCluster, err = n.joinServers(ctx, join); err != nil {
			return err
		}
		state = "existing"
	}
	if err := n.authorities(); err != nil {
		return err
	}
	agentPassword, err := n.writeTokens(password)
	if err != nil {
		return err
	}
	if err := n.serverCertificates(); err != nil {
		return err
	}
	if n.conf.Bool("cluster-reset") {
		return n.resetCluster(ctx, initialCluster)
	}
	if err := n.startEtcd(initialCluster, state); err != nil {
		return err
	}
	if state == "existing" { // an API server on a learner would only fail and start again
		if err := n.waitVoter(ctx); err != nil {
			return err
		}
	}
	n.startAPIServer()
	kube, err := n.client(n.credential("admin"))
	if err != nil {
		return err
	}
	front, err := n.newFront(password, agentPassword, nodePasswords{kube})
	if err != nil {
		return err
	}
	n.goOn("port "+apiPort, front.ListenAndServe)
	if !n.conf.Bool("disable-agent") { // meanwhile: containerd takes a second too
		if err := n.startContainerd(ctx); err != nil {
			return err
		}
	}
	if err := kube.waitReady(ctx); err != nil {
		return err
	}
	n.startControllers()
	if n.clustered() {
		go n.lead(ctx, kube)
		go n.scheduleSnapshots(ctx, saving)
	}
	go n.deployManifests(ctx)
	go n.describeServer(ctx, kube)
	return os.RemoveAll(n.resetFlag())
}

// serverPassword is the secret part of the token: configured, stored, or made now.
func (n *node) serverPassword() (string, error) {
	configured, err := n.conf.Secret("token")
	if err != nil {
		return "", err
	}
	if configured == "" {
		stored, err := os.ReadFile(filepath.Join(n.dir, "server/token"))
		if err == nil {
			configured = strings.TrimSpace(string(stored))
		} else if !os.IsNotExist(err) {
			return "", err
		}
	}
	if configured == "" {
		if n.conf.Get("server", "") != "" {
			return "", fmt.Errorf("--token is required to join a cluster")
		}
		random := make([]byte, 16)
		rand.Read(random)
		return hex.EncodeToString(random), nil
	}
	tok, err := token.Parse(configured, token.UserServer)
	if err != nil {
		return "", err
	}
	if tok.User != token.UserServer {
		return "", fmt.Errorf("a server needs the server token, not an agent's")
	}
	return tok.Password, nil
}

// joinServers takes over the cluster's authorities and makes this server a member of its etcd.
func (n *node) joinServers(ctx context.Context, server string) (initialCluster string, err error) {
	secret, err := n.conf.Secret("token")
	if err != nil {
		return "", err
	}
	tok, err := token.Parse(secret, token.UserServer)
	if err != nil {
		return "", err
	}
	client, err := joinapi.Connect(ctx, server, tok, joinapi.Node{Name: n.name, IP: n.ip})
	if err != nil {
		return "", err
	}
	files, err := client.Bootstrap(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range pki.SharedFiles() {
		if err := pki.WriteFile(filepath.Join(n.tls, name), files[name], 0o600); err != nil {
			return "", err
		}
	}
	return client.JoinEtcd(ctx, n.peerURL())
}

func (n *node) authorities() error {
	for base, commonName := range pki.Authorities {
		made, err := pki.EnsureCA(filepath.Join(n.tls, base), commonName)
		if err != nil {
			return err
		}
		if made {
			log.Printf("level=info msg=\"generated %s\"", base)
		}
	}
	return pki.EnsureServiceKey(filepath.Join(n.tls, pki.ServiceKey))
}

// writeTokens leaves server/token, server/node-token and server/agent-token as k3s does
// (k3s-io/k3s pkg/server/server.go, printTokens), after the check that a configured CA hash is this cluster's.
func (n *node) writeTokens(password string) (agentPassword string, err error) {
	ca, err := os.ReadFile(filepath.Join(n.tls, "server-ca.crt"))
	if err != nil {
		return "", err
	}
	configured, err := n.conf.Secret("token")
	if err != nil {
		return "", err
	}
	if configured != "" {
		tok, err := token.Parse(configured, token.UserServer)
		if err != nil {
			return "", err
		}
		if err := tok.Verify(ca); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(n.dir, "server")
	full, err := token.Format(ca, token.UserServer, password)
	if err != nil {
		return "", err
	}
	if err := pki.WriteFile(filepath.Join(dir, "token"), []byte(full+"\n"), 0o600); err != nil {
		return "", err
	}
	secret, err := n.conf.Secret("agent-token")
	if err != nil {
		return "", err
	}
	links := []string{"node-token"}
	if secret == "" {
		links = append(links, "agent-token")
	} else {
		tok, err := token.Parse(secret, token.UserNode)
		if err != nil {
			return "", fmt.Errorf("--agent-token: %w", err)
		}
		agentPassword = tok.Password
		if full, err = token.Format(ca, token.UserNode, agentPassword); err != nil {
			return "", err
		}
		if err := pki.WriteFile(filepath.Join(dir, "agent-token"), []byte(full+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	for _, link := range links {
		path := filepath.Join(dir, link)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return "", err
		}
		if err := os.Symlink(filepath.Join(dir, "token"), path); err != nil {
			return "", err
		}
	}
	return agentPassword, nil
}

// serverCertificates issues every leaf anew: k3s does so too when one is about to expire, a test cannot tell.
func (n *node) serverCertificates() error {
	serviceIP, err := settings.Address(n.serviceCIDR(), 1)
	if err != nil {
		return err
	}
	local := []string{n.name, n.ip, "localhost", "127.0.0.1"}
	for _, leaf := range []struct {
		authority, base string
		subject         pki.Subject
	}{
		{"server-ca", "serving-kube-apiserver", pki.Subject{CommonName: "kube-apiserver", SANs: settings.APIServerNames(n.conf, n.name, n.ip, serviceIP)}},
		{"client-ca", "client-kube-apiserver", pki.Subject{CommonName: "system:apiserver", Organization: "system:masters"}},
		{"client-ca", "client-admin", pki.Subject{CommonName: "system:admin", Organization: "system:masters"}},
		{"client-ca", "client-controller", pki.Subject{CommonName: "system:kube-controller-manager"}},
		{"client-ca", "client-scheduler", pki.Subject{CommonName: "system:kube-scheduler"}},
		{"request-header-ca", "client-auth-proxy", pki.Subject{CommonName: "system:auth-proxy"}},
		{"etcd/server-ca", "etcd/server-client", pki.Subject{CommonName: "etcd-server", SANs: local}},
		{"etcd/server-ca", "etcd/client", pki.Subject{CommonName: "etcd-client"}},
		{"etcd/peer-ca", "etcd/peer-server-client", pki.Subject{CommonName: "etcd-peer", SANs: local}},
	} {
		ca, err := pki.LoadCA(filepath.Join(n.tls, leaf.authority))
		if err != nil {
			return err
		}
		if err := ca.Issue(filepath.Join(n.tls, leaf.base), leaf.subject); err != nil {
			return err
		}
	}
	for _, user := range []string{"admin", "controller", "scheduler"} {
		if err := n.serverKubeconfig(n.credential(user), localAPI, "client-"+user, 0o600); err != nil {
			return err
		}
	}
	mode, err := strconv.ParseUint(n.conf.Get("write-kubeconfig-mode", "600"), 8, 12)
	if err != nil {
		return fmt.Errorf("--write-kubeconfig-mode: %w", err)
	}
	return n.serverKubeconfig(n.conf.Get("write-kubeconfig", kubeconfig), "https://127.0.0.1:"+apiPort, "client-admin", os.FileMode(mode))
}

func (n *node) serverKubeconfig(path, server, base string, mode os.FileMode) error {
	return writeKubeconfig(path, server, filepath.Join(n.tls, "server-ca.crt"), filepath.Join(n.tls, base), mode)
}

func (n *node) credential(user string) string {
	return filepath.Join(n.dir, "server/cred", user+".kubeconfig")
}

func (n *node) startAPIServer() {
	t := n.tls
	n.component("kube-apiserver",
		"--secure-port=6444",
		"--advertise-address="+n.conf.First("advertise-address", n.ip),
		"--allow-privileged",
		"--anonymous-auth=false",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--service-cluster-ip-range="+n.serviceCIDR(),
		"--service-node-port-range="+n.conf.Get("service-node-port-range", "30000-32767"),
		"--etcd-servers=https://127.0.0.1:2379",
		"--etcd-cafile="+t+"/etcd/server-ca.crt",
		"--etcd-certfile="+t+"/etcd/client.crt",
		"--etcd-keyfile="+t+"/etcd/client.key",
		"--client-ca-file="+t+"/client-ca.crt",
		"--tls-cert-file="+t+"/serving-kube-apiserver.crt",
		"--tls-private-key-file="+t+"/serving-kube-apiserver.key",
		"--kubelet-client-certificate="+t+"/client-kube-apiserver.crt",
		"--kubelet-client-key="+t+"/client-kube-apiserver.key",
		"--kubelet-certificate-authority="+t+"/server-ca.crt",
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
		"--service-account-issuer=https://kubernetes.default.svc."+n.cluster.ClusterDomain,
		"--service-account-key-file="+t+"/"+pki.ServiceKey,
		"--service-account-signing-key-file="+t+"/"+pki.ServiceKey,
		"--requestheader-client-ca-file="+t+"/request-header-ca.crt",
		"--requestheader-allowed-names=system:auth-proxy",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+t+"/client-auth-proxy.crt",
		"--proxy-client-key-file="+t+"/client-auth-proxy.key",
	)
}

func (n *node) startControllers() {
	// As in k3s, a server that cannot have others beside it does not spend time on electing itself.
	elect := "--leader-elect=" + strconv.FormatBool(n.clustered())
	// On the loopback address, as k3s binds them: nothing outside talks to these two.
	const bind = "--bind-address=127.0.0.1"
	n.component("kube-controller-manager",
		elect, bind,
		"--kubeconfig="+n.credential("controller"),
		"--allocate-node-cidrs",
		"--cluster-cidr="+n.cluster.ClusterCIDR,
		"--service-cluster-ip-range="+n.serviceCIDR(),
		"--cluster-signing-cert-file="+n.tls+"/client-ca.crt",
		"--cluster-signing-key-file="+n.tls+"/client-ca.key",
		"--root-ca-file="+n.tls+"/server-ca.crt",
		"--service-account-private-key-file="+n.tls+"/"+pki.ServiceKey,
		"--use-service-account-credentials",
		// each controller makes its credentials first; at the default rate a new node waits seconds for its pod CIDR
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	)
	if !n.conf.Bool("disable-scheduler") {
		n.component("kube-scheduler", elect, bind, "--kubeconfig="+n.credential("scheduler"))
	}
}

// deployManifests applies what is in server/manifests, again after every change.
func (n *node) deployManifests(ctx context.Context) {
	disabled := n.conf.Split("disable")
	for _, name := range addons.Absent {
		if !slices.Contains(disabled, name) {
			log.Printf("level=warning msg=\"the packaged component %s is not part of the %s\"", name, nature)
		}
	}
	d := &addons.Directory{Path: filepath.Join(n.dir, "server/manifests")}
	remove, err := d.Install(addons.Values{
		ClusterDNS: n.cluster.ClusterDNS, ClusterDomain: n.cluster.ClusterDomain,
		CoreDNSImage: settings.Image(n.cluster.PauseRegistry, addons.CoreDNSImage),
	}, disabled)
	if err != nil {
		log.Printf("level=error msg=\"server/manifests: %v\"", err)
	}
	for _, manifest := range remove {
		if err := n.kubectl(ctx, manifest, "delete", "--ignore-not-found", "--wait=false", "-f", "-"); err != nil {
			log.Printf("level=error msg=\"removing a disabled component: %v\"", err)
		}
	}
	until(ctx, manifestInterval, func() bool {
		n.applyPending(ctx, d)
		return false
	})
}
