package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"seedbed/lab/k3s/internal/pki"
)

const (
	etcdLocal   = "https://127.0.0.1:2379"
	etcdTimeout = 10 * time.Second
)

func (n *node) peerURL() string { return "https://" + n.ip + ":2380" }

// etcdDir is where k3s keeps managed etcd; its existence makes a server a member for good.
func (n *node) etcdDir() string { return filepath.Join(n.dir, "server/db/etcd") }

// clustered tells whether the server has managed etcd, so that others can join. Without it k3s stores in
// SQLite; the stand-in then stores in an etcd of its own as well, in another folder that nobody can join.
func (n *node) clustered() bool {
	return n.conf.Bool("cluster-init") || n.conf.Get("server", "") != "" || exists(n.etcdDir())
}

// dataDir moves a single server's data over when it is started with --cluster-init, as k3s migrates SQLite.
func (n *node) dataDir() (string, error) {
	single := filepath.Join(n.dir, "server/db/state")
	if !n.clustered() {
		return single, nil
	}
	if exists(single) && !exists(n.etcdDir()) {
		return n.etcdDir(), os.Rename(single, n.etcdDir())
	}
	return n.etcdDir(), nil
}

func (n *node) startEtcd(initialCluster, state string) error {
	data, err := n.dataDir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(data), 0o700); err != nil {
		return err
	}
	clientURL := "https://" + n.ip + ":2379"
	metrics := "http://127.0.0.1:2381"
	if n.conf.Bool("etcd-expose-metrics") {
		metrics += ",http://" + n.ip + ":2381"
	}
	t := filepath.Join(n.tls, "etcd")
	n.component("etcd",
		"--name="+n.name,
		"--data-dir="+data,
		"--listen-client-urls="+etcdLocal+","+clientURL,
		"--advertise-client-urls="+clientURL,
		"--listen-peer-urls="+n.peerURL(),
		"--initial-advertise-peer-urls="+n.peerURL(),
		"--initial-cluster="+initialCluster,
		"--initial-cluster-state="+state,
		"--listen-metrics-urls="+metrics,
		"--cert-file="+t+"/server-client.crt",
		"--key-file="+t+"/server-client.key",
		"--trusted-ca-file="+t+"/server-ca.crt",
		"--client-cert-auth",
		"--peer-cert-file="+t+"/peer-server-client.crt",
		"--peer-key-file="+t+"/peer-server-client.key",
		"--peer-trusted-ca-file="+t+"/peer-ca.crt",
		"--peer-client-cert-auth",
		"--log-level=error",
	)
	return nil
}

func (n *node) etcdClient() (*clientv3.Client, error) {
	conf, err := pki.ClientTLS(n.tls+"/etcd/server-ca.crt", n.tls+"/etcd/client")
	if err != nil {
		return nil, err
	}
	return clientv3.New(clientv3.Config{
		Endpoints: []string{etcdLocal}, DialTimeout: etcdTimeout, TLS: conf, Logger: zap.NewNop(),
	})
}

// waitVoter returns when this server's etcd runs and was promoted.
func (n *node) waitVoter(ctx context.Context) error {
	client, err := n.etcdClient()
	if err != nil {
		return err
	}
	defer client.Close()
	return until(ctx, poll, func() bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		status, err := client.Status(ctx, etcdLocal)
		return err == nil && !status.IsLearner
	})
}

// etcdMembers lets the join API add members.
type etcdMembers struct{ *node }

// AddMember adds a learner, after removing the member of the same name or address that lost its data.
func (e etcdMembers) AddMember(ctx context.Context, name, peerURL string) (string, error) {
	if !e.clustered() {
		return "", errors.New("this server has no managed etcd: start it with --cluster-init before others join")
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	client, err := e.etcdClient()
	if err != nil {
		return "", err
	}
	defer client.Close()
	list, err := client.MemberList(ctx)
	if err != nil {
		return "", err
	}
	for _, member := range list.Members {
		if member.Name == name || member.PeerURLs[0] == peerURL {
			if _, err := client.MemberRemove(ctx, member.ID); err != nil {
				return "", err
			}
		}
	}
	added, err := client.MemberAddAsLearner(ctx, []string{peerURL})
	if err != nil {
		return "", err
	}
	var initial []string
	for _, member := range added.Members {
		memberName := member.Name
		if member.ID == added.Member.ID {
			memberName = name
		}
		initial = append(initial, memberName+"="+member.PeerURLs[0])
	}
	return strings.Join(initial, ","), nil
}
