package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"seedbed/lab/k3s/internal/snapshots"
)

// resetDone is k3s's own message; scripts look for it.
const resetDone = "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. " +
	"Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes"

// resetFlag is there from a reset until the next normal start: a second reset would undo what was done in between.
func (n *node) resetFlag() string { return filepath.Join(n.dir, "server/db/reset-flag") }

// mayReset refuses what k3s refuses, before anything is touched.
// Source: k3s-io/k3s pkg/cli/server/server.go, pkg/cluster/managed.go.
func (n *node) mayReset() error {
	restore := n.conf.Get("cluster-reset-restore-path", "") != ""
	if !n.conf.Bool("cluster-reset") {
		if restore {
			return errors.New("invalid flag use; --cluster-reset required with --cluster-reset-restore-path")
		}
		return nil
	}
	if n.conf.Get("server", "") != "" {
		return errors.New("cannot perform cluster-reset while server URL is set - remove server from configuration before resetting")
	}
	if !restore && exists(n.resetFlag()) {
		return fmt.Errorf("Managed etcd cluster membership was previously reset, please remove the cluster-reset flag and start k3s normally. "+
			"If you need to perform another cluster reset, you must first manually delete the file at %s", n.resetFlag())
	}
	token := filepath.Join(n.dir, "server/token")
	if restore && n.conf.Get("token", "") == "" && n.conf.Get("token-file", "") == "" && !exists(token) {
		return fmt.Errorf("%s does not exist, please pass --token to complete the restoration", token)
	}
	return nil
}

// resetCluster makes this server the only member, with its own data or a snapshot's, and ends the process.
func (n *node) resetCluster(ctx context.Context, initialCluster string) error {
	var err error
	if path := n.conf.Get("cluster-reset-restore-path", ""); path != "" {
		err = n.restore(ctx, path, initialCluster)
	} else {
		err = n.forgetPeers(ctx)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.resetFlag(), nil, 0o600); err != nil {
		return err
	}
	log.Printf("level=info msg=%q", resetDone)
	os.Exit(0)
	return nil
}

// restore takes the path of a file or, with etcd-s3, the name of a snapshot in the bucket.
func (n *node) restore(ctx context.Context, path, initialCluster string) error {
	set, err := n.snapshotSettings()
	if err != nil {
		return err
	}
	if set.S3 != nil {
		log.Printf("level=info msg=\"Retrieving etcd snapshot %s from S3\"", path)
		bucket, err := snapshots.Open(ctx, *set.S3, n.name)
		if err != nil {
			return fmt.Errorf("failed to initialize S3 client: %w", err)
		}
		if path, err = bucket.Download(ctx, path, set.Folder); err != nil {
			return err
		}
		log.Printf("level=info msg=\"S3 download complete for %s\"", path)
	}
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("etcd: snapshot path does not exist: %s", path)
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("etcd: snapshot path must be a file, not a directory: %s", path)
	}
	if strings.HasSuffix(path, ".zip") {
		return fmt.Errorf("%s is compressed, which the %s cannot restore", path, nature)
	}
	if exists(n.etcdDir()) {
		if err := os.Rename(n.etcdDir(), fmt.Sprintf("%s-old-%d", n.etcdDir(), time.Now().Unix())); err != nil {
			return err
		}
	}
	return snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: path, Name: n.name, OutputDataDir: n.etcdDir(), PeerURLs: []string{n.peerURL()},
		InitialCluster: initialCluster, InitialClusterToken: "etcd-cluster",
	})
}

func (n *node) forgetPeers(ctx context.Context) error {
	if !exists(n.etcdDir()) {
		return errors.New("cannot perform cluster-reset: there is no managed etcd on this server")
	}
	const clientURL = "http://127.0.0.1:12379"
	etcd := exec.Command(self, "etcd", "--name="+n.name, "--data-dir="+n.etcdDir(), "--force-new-cluster",
		"--listen-peer-urls=http://127.0.0.1:12380", "--listen-client-urls="+clientURL, "--advertise-client-urls="+clientURL, "--log-level=error")
	if err := etcd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{clientURL}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	err = until(ctx, poll, func() bool {
		list, err := client.MemberList(ctx)
		if err != nil || len(list.Members) != 1 {
			return false
		}
		_, err = client.MemberUpdate(ctx, list.Members[0].ID, []string{n.peerURL()})
		return err == nil
	})
	etcd.Process.Signal(syscall.SIGTERM)
	etcd.Wait() // it ends by the signal, after it has closed its files
	return err
}
