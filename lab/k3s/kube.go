package main

import (
	"context"
	"encoding/json"
	"log"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	labelControlPlane = "node-role.kubernetes.io/control-plane"
	labelEtcd         = "node-role.kubernetes.io/etcd"
	listTimeout       = 10 * time.Second
)

type kubeClient struct{ *kubernetes.Clientset }

func (n *node) client(path string) (kubeClient, error) {
	conf, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return kubeClient{}, err
	}
	set, err := kubernetes.NewForConfig(conf)
	return kubeClient{set}, err
}

func (k kubeClient) waitReady(ctx context.Context) error {
	return until(ctx, poll, func() bool {
		ctx, cancel := context.WithTimeout(ctx, listTimeout)
		defer cancel()
		_, err := k.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil
	})
}

// labelServer marks this node as a server once it has registered: a kubelet may not do so itself.
// k3s 1.34 no longer sets the role `master` (k3s-io/k3s#12395); `etcd` is for servers with managed etcd.
func (k kubeClient) labelServer(ctx context.Context, name string, etcd bool) {
	labels := map[string]string{labelControlPlane: "true"}
	if etcd {
		labels[labelEtcd] = "true"
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		log.Printf("level=error msg=\"%v\"", err)
		return
	}
	until(ctx, poll, func() bool {
		_, err := k.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return err == nil
	})
}

// watchNodes calls `seen` with all nodes at first and after each change, until the context ends.
func (k kubeClient) watchNodes(ctx context.Context, seen func([]corev1.Node)) {
	until(ctx, time.Second, func() bool {
		listCtx, cancel := context.WithTimeout(ctx, listTimeout)
		list, err := k.CoreV1().Nodes().List(listCtx, metav1.ListOptions{})
		cancel()
		if err != nil {
			return false
		}
		seen(list.Items)
		seconds := int64(300)
		watch, err := k.CoreV1().Nodes().Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion, TimeoutSeconds: &seconds})
		if err != nil {
			return false
		}
		defer watch.Stop()
		nodes := map[string]corev1.Node{}
		for _, item := range list.Items {
			nodes[item.Name] = item
		}
		for event := range watch.ResultChan() {
			item, ok := event.Object.(*corev1.Node)
			if !ok {
				return false
			}
			old, known := nodes[item.Name]
			if event.Type == "DELETED" {
				delete(nodes, item.Name)
			} else {
				nodes[item.Name] = *item
			}
			if known && event.Type != "DELETED" && sameRouting(old, *item) {
				continue // a heartbeat
			}
			all := make([]corev1.Node, 0, len(nodes))
			for _, item := range nodes {
				all = append(all, item)
			}
			seen(all)
		}
		return false
	})
}

func sameRouting(a, b corev1.Node) bool {
	return a.Spec.PodCIDR == b.Spec.PodCIDR && internalIP(a) == internalIP(b) && a.Labels[labelControlPlane] == b.Labels[labelControlPlane]
}

func internalIP(n corev1.Node) string {
	for _, address := range n.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			return address.Address
		}
	}
	return ""
}

// servers lists the control plane's join addresses among the nodes.
func servers(nodes []corev1.Node) []string {
	var out []string
	for _, item := range nodes {
		if ip := internalIP(item); ip != "" && item.Labels[labelControlPlane] == "true" {
			out = append(out, net.JoinHostPort(ip, apiPort))
		}
	}
	return out
}
