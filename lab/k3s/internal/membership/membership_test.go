package membership

import (
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func described(t *testing.T, node corev1.Node, member, address string) corev1.Node {
	t.Helper()
	before, err := json.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": Describe(member, address)})
	if err != nil {
		t.Fatal(err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, node)
	if err != nil {
		t.Fatal(err)
	}
	var out corev1.Node
	if err := json.Unmarshal(after, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAServersNodeIsDescribedOnceAndKeepsWhatElseItSays(t *testing.T) {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"own": "label"}, Finalizers: []string{"another"}}}
	if Described(node, "a-1", "10.0.0.11") {
		t.Error("a bare Node passes for a server's")
	}
	node = described(t, node, "a-1", "10.0.0.11")
	if !Described(node, "a-1", "10.0.0.11") {
		t.Errorf("%+v", node.ObjectMeta)
	}
	if node.Labels["own"] != "label" || len(node.Finalizers) != 2 {
		t.Errorf("lost: %+v", node.ObjectMeta)
	}
	if Described(node, "a-1", "10.0.0.12") || Described(node, "a-2", "10.0.0.11") {
		t.Error("another member's description passes")
	}
}

func TestAServerWithoutManagedEtcdHasOnlyItsRole(t *testing.T) {
	node := described(t, corev1.Node{}, "", "10.0.0.11")
	if !Described(node, "", "10.0.0.11") || len(node.Annotations) > 0 || len(node.Finalizers) > 0 || len(node.Labels) != 1 {
		t.Errorf("%+v", node.ObjectMeta)
	}
}

func TestTheConditionSaysWhoVotesAsK3sDoes(t *testing.T) {
	for name, c := range map[string]struct {
		member          Member
		status          corev1.ConditionStatus
		reason, message string
	}{
		"voter":     {Member{Known: true}, corev1.ConditionTrue, "MemberNotLearner", "Node is a voting member of the etcd cluster"},
		"learner":   {Member{Known: true, Learner: true}, corev1.ConditionFalse, "MemberIsLearner", "Node has not been promoted to voting member of the etcd cluster"},
		"unhealthy": {Member{Known: true, Failure: "no answer"}, corev1.ConditionFalse, "Unhealthy", "no answer"},
		"gone":      {Member{}, corev1.ConditionFalse, "NotAMember", "Node is not a member of the etcd cluster"},
	} {
		got := Condition(corev1.Node{}, c.member, now)
		if got == nil || got.Type != "EtcdIsVoter" || got.Status != c.status || got.Reason != c.reason || got.Message != c.message {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAConditionIsSaidAgainWhenItChangesOrGrowsOld(t *testing.T) {
	said := Condition(corev1.Node{}, Member{Known: true}, now)
	node := corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady}, *said}}}
	if got := Condition(node, Member{Known: true}, now.Add(4*time.Minute)); got != nil {
		t.Errorf("said again too soon: %+v", got)
	}
	old := Condition(node, Member{Known: true}, now.Add(6*time.Minute))
	if old == nil || !old.LastTransitionTime.Time.Equal(now) || old.LastHeartbeatTime.Time.Equal(now) {
		t.Errorf("the heartbeat: %+v", old)
	}
	changed := Condition(node, Member{}, now.Add(time.Minute))
	if changed == nil || !changed.LastTransitionTime.Time.Equal(now.Add(time.Minute)) {
		t.Errorf("the change: %+v", changed)
	}
}
