package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"seedbed/lab/k3s/internal/registries"
	"seedbed/lab/k3s/internal/settings"
)

const defaultRegistries = "/etc/rancher/k3s/registries.yaml"

// startContainerd starts the host's own containerd with k3s's root, socket and registries, and imports the
// image archives that lie in agent/images.
func (n *node) startContainerd(ctx context.Context) error {
	etc := filepath.Join(n.agentDir, "etc/containerd")
	if err := registries.Write(n.conf.Get("private-registry", defaultRegistries), filepath.Join(etc, "certs.d")); err != nil {
		return err
	}
	conf := n.nodeSettings()
	for template, name := range map[string]string{"containerd.toml": "config.toml", "cni.json": "cni.tmpl"} {
		if err := conf.Write(template, filepath.Join(etc, name)); err != nil {
			return err
		}
	}
	for _, dir := range []string{filepath.Dir(settings.Socket), n.agentDir + "/etc/cni/net.d"} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	program, err := exec.LookPath("containerd")
	if err != nil {
		return fmt.Errorf("the %s uses the host's containerd: %w", nature, err)
	}
	n.children.Start("containerd", nil, program, "--log-level=warn", "--config="+filepath.Join(etc, "config.toml"))
	if err := until(ctx, poll, func() bool { return ctr(ctx, nil, "version") == nil }); err != nil {
		return err
	}
	return n.importImages(ctx)
}

// importImages takes agent/images/*.tar, .tar.gz and .tar.zst; one that is broken is named and passed over.
func (n *node) importImages(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(n.agentDir, "images/*.tar*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := importImage(ctx, path); err != nil {
			log.Printf("level=error msg=%q", fmt.Sprintf("importing %s: %v", path, err))
			continue
		}
		log.Printf("level=info msg=\"imported %s\"", path)
	}
	return nil
}

func importImage(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var in io.Reader = file
	switch {
	case strings.HasSuffix(path, ".zst"):
		z, err := zstd.NewReader(file)
		if err != nil {
			return err
		}
		defer z.Close()
		in = z
	case strings.HasSuffix(path, ".gz"):
		if in, err = gzip.NewReader(file); err != nil {
			return err
		}
	}
	return ctr(ctx, in, "-n", "k8s.io", "image", "import", "-")
}

func ctr(ctx context.Context, stdin io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, "ctr", append([]string{"-a", settings.Socket}, args...)...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(bytes.TrimSpace(out))))
	}
	return nil
}
