// Package membership says what a server's Node tells of its place in etcd.
//
// Source: k3s-io/k3s pkg/etcd/{etcd,metadata_controller,member_controller}.go at 1.34.
package membership

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What k3s puts on the Node of a server with managed etcd.
const (
	LabelControlPlane     = "node-role.kubernetes.io/control-plane"
	LabelEtcd             = "node-role.kubernetes.io/etcd"
	AnnotationNodeName    = "etcd.k3s.cattle.io/node-name" // the member's name
	AnnotationNodeAddress = "etcd.k3s.cattle.io/node-address"
	// Finalizer keeps a Node that is deleted until its member has left etcd.
	Finalizer = "wrangler.cattle.io/managed-etcd-controller"

	EtcdIsVoter corev1.NodeConditionType = "EtcdIsVoter"
)

// heartbeat is how old a condition may become before it is said again.
const heartbeat = 5 * time.Minute

// Described tells whether the Node says all that it has to. `member` is empty on a server without managed etcd, of which
// only the role is said.
func Described(node corev1.Node, member, address string) bool {
	if node.Labels[LabelControlPlane] != "true" {
		return false
	}
	return member == "" || node.Labels[LabelEtcd] == "true" &&
		node.Annotations[AnnotationNodeName] == member && node.Annotations[AnnotationNodeAddress] == address &&
		(slices.Contains(node.Finalizers, Finalizer) || node.DeletionTimestamp != nil)
}

// Describe gives the metadata that makes Described true; to be merged with what is there.
func Describe(member, address string) map[string]any {
	if member == "" {
		return map[string]any{"labels": map[string]string{LabelControlPlane: "true"}}
	}
	return map[string]any{
		"labels":      map[string]string{LabelControlPlane: "true", LabelEtcd: "true"},
		"annotations": map[string]string{AnnotationNodeName: member, AnnotationNodeAddress: address},
		"finalizers":  []string{Finalizer},
	}
}

// Member is what the leader of etcd knows of a member.
type Member struct {
	Known   bool // false: etcd has no member of that name
	Learner bool
	Failure string // why it does not answer as it should; empty if it does
}

// Condition gives the condition EtcdIsVoter to set, or nil if the Node has it already.
func Condition(node corev1.Node, m Member, now time.Time) *corev1.NodeCondition {
	next := corev1.NodeCondition{
		Type: EtcdIsVoter, Status: corev1.ConditionFalse, LastHeartbeatTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
	}
	switch {
	case !m.Known:
		next.Reason, next.Message = "NotAMember", "Node is not a member of the etcd cluster"
	case m.Failure != "":
		next.Reason, next.Message = "Unhealthy", m.Failure
	case m.Learner:
		next.Reason, next.Message = "MemberIsLearner", "Node has not been promoted to voting member of the etcd cluster"
	default:
		next.Status, next.Reason, next.Message = corev1.ConditionTrue, "MemberNotLearner", "Node is a voting member of the etcd cluster"
	}
	for _, old := range node.Status.Conditions {
		if old.Type != EtcdIsVoter || old.Status != next.Status || old.Reason != next.Reason || old.Message != next.Message {
			continue
		}
		if now.Sub(old.LastHeartbeatTime.Time) < heartbeat {
			return nil
		}
		next.LastTransitionTime = old.LastTransitionTime
	}
	return &next
}
