package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"time"

	"seedbed/lab/k3s/internal/addons"
)

const manifestInterval = time.Second

// applyPending applies the changed manifests. One that fails (its CRD may not be there yet) is tried again.
func (n *node) applyPending(ctx context.Context, d *addons.Directory) {
	paths, err := d.Pending()
	if err != nil {
		log.Printf("level=error msg=\"server/manifests: %v\"", err)
		return
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err == nil {
			err = n.kubectl(ctx, data, "apply", "--server-side", "--force-conflicts", "--field-manager=deploy@"+n.name, "-f", "-")
		}
		if err != nil {
			log.Printf("level=error msg=%q", fmt.Sprintf("applying %s: %v", path, err))
			continue
		}
		d.Applied(path, data)
		log.Printf("level=info msg=\"applied %s\"", path)
	}
}

func (n *node) kubectl(ctx context.Context, stdin []byte, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, append([]string{"kubectl", "--kubeconfig", n.credential("admin")}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
