package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"seedbed/lab/k3s/internal/joinapi"
	"seedbed/lab/k3s/internal/pki"
)

// nodePasswordFile and the name of the Secret are k3s's own.
// Source: docs.k3s.io/architecture, "How Agent Node Registration Works".
const nodePasswordFile = "/etc/rancher/node/password"

// nodePassword is this machine's own, made when it first joins.
func nodePassword() (string, error) {
	data, err := os.ReadFile(nodePasswordFile)
	if err == nil || !os.IsNotExist(err) {
		return strings.TrimSpace(string(data)), err
	}
	random := make([]byte, 16)
	rand.Read(random)
	password := hex.EncodeToString(random)
	return password, pki.WriteFile(nodePasswordFile, []byte(password+"\n"), 0o600)
}

// nodePasswords keeps a digest of each node's password in a Secret, which stays when the Node is deleted. (k3s: scrypt.)
type nodePasswords struct{ kubeClient }

func (k nodePasswords) Check(ctx context.Context, node, password string) error {
	sum := sha256.Sum256([]byte(password))
	digest := []byte(hex.EncodeToString(sum[:]))
	name, immutable := node+".node-password.k3s", true
	secrets := k.CoreV1().Secrets(metav1.NamespaceSystem)
	known, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Immutable: &immutable, Data: map[string][]byte{"hash": digest},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(known.Data["hash"], digest) != 1 {
		return joinapi.ErrPassword
	}
	return nil
}
