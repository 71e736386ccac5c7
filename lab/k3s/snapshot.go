package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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

	"seedbed/lab/k3s/internal/config"
)

// resetDone is k3s's own message; scripts look for it.
const resetDone = "Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. " +
	"Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes"

// resetCluster makes this server the only member, with its own data or a snapshot's, and ends the process.
func (n *node) resetCluster(ctx context.Context, initialCluster string) error {
	var err error
	if path := n.conf.Get("cluster-reset-restore-path", ""); path != "" {
		err = n.restore(path, initialCluster)
	} else {
		err = n.forgetPeers(ctx)
	}
	if err != nil {
		return err
	}
	log.Printf("level=info msg=%q", resetDone)
	os.Exit(0)
	return nil
}

func (n *node) restore(path, initialCluster string) error {
	if !exists(path) {
		return fmt.Errorf("etcd: snapshot path does not exist: %s", path)
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

// etcdSnapshot is `k3s etcd-snapshot save|ls|delete`.
func etcdSnapshot(args []string) error {
	quietLibraries()
	action := "save"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		action, args = args[0], args[1:]
	}
	var names []string
	for action == "delete" && len(args) > 0 && !strings.HasPrefix(args[len(args)-1], "-") {
		names, args = append(names, args[len(args)-1]), args[:len(args)-1]
	}
	conf, err := config.Load(config.Snapshot, args, os.Getenv)
	if err != nil {
		return err
	}
	n, err := newNode(conf, true)
	if err != nil {
		return err
	}
	if !exists(n.etcdDir()) {
		return errors.New("etcd datastore disabled")
	}
	dir := conf.Get("dir", conf.Get("etcd-snapshot-dir", filepath.Join(n.dir, "server/db/snapshots")))
	switch action {
	case "save":
		return n.saveSnapshot(dir)
	case "ls", "list":
		return listSnapshots(dir)
	case "delete":
		for _, name := range names {
			if err := os.Remove(filepath.Join(dir, filepath.Base(name))); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("etcd-snapshot %s is not part of the %s", action, nature)
}

func (n *node) saveSnapshot(dir string) error {
	client, err := n.etcdClient()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	data, err := client.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer data.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%s-%d", n.conf.Get("name", "on-demand"), n.name, time.Now().Unix())
	path := filepath.Join(dir, name)
	out, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, data)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".part", path); err != nil {
		return err
	}
	fmt.Printf("Snapshot %s saved.\n", name)
	return nil
}

func listSnapshots(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	fmt.Println("Name Location Size Created")
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Printf("%s file://%s %d %s\n", entry.Name(), filepath.Join(dir, entry.Name()), info.Size(), info.ModTime().UTC().Format(time.RFC3339))
	}
	return nil
}
