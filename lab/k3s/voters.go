package main

import (
	"context"
	"encoding/json"
	"log"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"seedbed/lab/k3s/internal/membership"
)

const (
	leadInterval     = 500 * time.Millisecond // k3s: 15 s, so a server is a voter sooner here
	healthInterval   = 5 * time.Second        // how long a member is believed to be well
	statusTimeout    = 2 * time.Second
	describeInterval = 5 * time.Second
)

// describeServer keeps on this server's Node what a kubelet may not say itself: the roles, and the member of etcd.
// k3s 1.34 no longer sets the role `master` (k3s-io/k3s#12395); `etcd` is for servers with managed etcd.
func (n *node) describeServer(ctx context.Context, kube kubeClient) {
	member := ""
	if n.clustered() {
		member = n.name
	}
	patch, err := json.Marshal(map[string]any{"metadata": membership.Describe(member, n.ip)})
	if err != nil {
		log.Printf("level=error msg=\"%v\"", err)
		return
	}
	described := func() bool {
		own, err := kube.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{ResourceVersion: "0"})
		if err != nil || own.DeletionTimestamp != nil {
			return false
		}
		if membership.Described(*own, member, n.ip) {
			return true
		}
		_, err = kube.CoreV1().Nodes().Patch(ctx, n.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return err == nil
	}
	until(ctx, poll, described)
	until(ctx, describeInterval, func() bool { // a Node that was deleted and came back is described again
		described()
		return false
	})
}

// lead does what is the part of the server that leads etcd: it makes voters of the learners that have caught up (a learner
// cannot ask for it itself: it may not even list the members), tells on the Nodes who votes, and removes the members whose
// Nodes are deleted.
func (n *node) lead(ctx context.Context, kube kubeClient) {
	client, err := n.etcdClient()
	if err != nil {
		log.Printf("level=error msg=\"%v\"", err)
		return
	}
	defer client.Close()
	l := leader{client, kube, map[uint64]time.Time{}}
	until(ctx, leadInterval, func() bool {
		ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
		defer cancel()
		status, err := client.Status(ctx, etcdLocal)
		if err == nil && status.Leader == status.Header.MemberId {
			l.turn(ctx)
		}
		return false
	})
}

type leader struct {
	etcd    *clientv3.Client
	kube    kubeClient
	healthy map[uint64]time.Time // when a member was last found so
}

// turn is one look at all members and Nodes; what fails is tried again in the next.
func (l leader) turn(ctx context.Context) {
	list, err := l.etcd.MemberList(ctx)
	if err != nil {
		return
	}
	for _, m := range list.Members {
		if m.IsLearner && m.Name != "" {
			l.etcd.MemberPromote(ctx, m.ID) // refused while it is behind
		}
	}
	// Version 0: out of the API server's memory, as etcd need not be asked twice a second.
	nodes, err := l.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: membership.LabelEtcd + "=true", ResourceVersion: "0"})
	if err != nil {
		return
	}
	for _, item := range nodes.Items {
		var found *etcdserverpb.Member
		for _, m := range list.Members {
			if m.Name == item.Annotations[membership.AnnotationNodeName] {
				found = m
			}
		}
		if item.DeletionTimestamp != nil {
			l.remove(ctx, item, found)
			continue
		}
		l.tell(ctx, item, found)
	}
}

func (l leader) tell(ctx context.Context, item corev1.Node, found *etcdserverpb.Member) {
	m := membership.Member{}
	if found != nil {
		m = membership.Member{Known: true, Learner: found.IsLearner, Failure: l.ask(ctx, found)}
	}
	condition := membership.Condition(item, m, time.Now())
	if condition == nil {
		return
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{*condition}}})
	if err == nil {
		_, err = l.kube.CoreV1().Nodes().PatchStatus(ctx, item.Name, patch)
	}
	if err != nil {
		log.Printf("level=error msg=\"Unable to set etcd status condition %s: %v\"", item.Name, err)
	}
}

// ask tells why a member does not answer as it should.
func (l leader) ask(ctx context.Context, m *etcdserverpb.Member) string {
	if time.Since(l.healthy[m.ID]) < healthInterval {
		return ""
	}
	if len(m.ClientURLs) > 0 { // a learner that has not started has none yet
		ctx, cancel := context.WithTimeout(ctx, statusTimeout)
		defer cancel()
		status, err := l.etcd.Status(ctx, m.ClientURLs[0])
		if err != nil {
			return "failed to check etcd member status: " + err.Error()
		}
		if len(status.Errors) > 0 {
			return "etcd member has status errors: " + strings.Join(status.Errors, ",")
		}
	}
	l.healthy[m.ID] = time.Now()
	return ""
}

// remove takes a deleted Node's member out of etcd and lets the Node go.
func (l leader) remove(ctx context.Context, item corev1.Node, found *etcdserverpb.Member) {
	if !slices.Contains(item.Finalizers, membership.Finalizer) {
		return
	}
	if found != nil && peerHost(found) == item.Annotations[membership.AnnotationNodeAddress] {
		log.Printf("level=info msg=\"Removing name=%s id=%d address=%s from etcd\"", found.Name, found.ID, peerHost(found))
		if _, err := l.etcd.MemberRemove(ctx, found.ID); err != nil {
			log.Printf("level=error msg=\"removing etcd member %s: %v\"", found.Name, err)
			return
		}
	}
	item.Finalizers = slices.DeleteFunc(slices.Clone(item.Finalizers), func(f string) bool { return f == membership.Finalizer })
	if _, err := l.kube.CoreV1().Nodes().Update(ctx, &item, metav1.UpdateOptions{}); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		log.Printf("level=error msg=\"letting node %s go: %v\"", item.Name, err)
	}
}

func peerHost(m *etcdserverpb.Member) string {
	if len(m.PeerURLs) == 0 {
		return ""
	}
	u, err := url.Parse(m.PeerURLs[0])
	if err != nil {
		return ""
	}
	return u.Hostname()
}
