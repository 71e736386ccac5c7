package main

import (
	"context"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"seedbed/lab/k3s/internal/membership"
)

const listTimeout = 10 * time.Second

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
	return a.Spec.PodCIDR == b.Spec.PodCIDR && internalIP(a) == internalIP(b) && a.Labels[membership.LabelControlPlane] == b.Labels[membership.LabelControlPlane]
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
		if ip := internalIP(item); ip != "" && item.Labels[membership.LabelControlPlane] == "true" {
			out = append(out, net.JoinHostPort(ip, apiPort))
		}
	}
	return out
}
