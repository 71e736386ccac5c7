package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAPlacedCAIsKeptAsItIsAndSigns(t *testing.T) {
	base := filepath.Join(t.TempDir(), "server-ca")
	if made, err := EnsureCA(base, "placed"); err != nil || !made {
		t.Fatal(made, err)
	}
	cert, key := read(t, base+".crt"), read(t, base+".key")
	if made, err := EnsureCA(base, "another"); err != nil || made {
		t.Fatal(made, err)
	}
	if !bytes.Equal(cert, read(t, base+".crt")) || !bytes.Equal(key, read(t, base+".key")) {
		t.Error("the placed files were changed")
	}
	ca, err := LoadCA(base)
	if err != nil {
		t.Fatal(err)
	}
	leaf := filepath.Join(filepath.Dir(base), "leaf")
	if err := ca.Issue(leaf, Subject{CommonName: "kube-apiserver", SANs: []string{"10.43.0.1", "api.example", "api.example"}}); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(read(t, leaf+".crt"))
	got, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	for _, name := range []string{"10.43.0.1", "api.example"} {
		if _, err := got.Verify(x509.VerifyOptions{Roots: pool, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(got.DNSNames) != 1 {
		t.Errorf("a name twice: %v", got.DNSNames)
	}
	if info, _ := os.Stat(leaf + ".key"); info.Mode().Perm() != 0o600 {
		t.Errorf("key mode %v", info.Mode())
	}
}

func TestHalfAPairIsRefused(t *testing.T) {
	for _, missing := range []string{".crt", ".key"} {
		base := filepath.Join(t.TempDir(), "ca")
		if _, err := EnsureCA(base, "x"); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(base + missing); err != nil {
			t.Fatal(err)
		}
		if _, err := EnsureCA(base, "x"); err == nil || !strings.Contains(err.Error(), "place both or neither") {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

func TestAKeyOfAnotherCAIsRefused(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	for _, base := range []string{one, two} {
		if _, err := EnsureCA(base, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(two+".key", one+".key"); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureCA(one, "x"); err == nil || !strings.Contains(err.Error(), "does not belong to") {
		t.Error(err)
	}
}

func TestKeysAreReadInEveryCommonForm(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, ecPEM, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	pkcs8 := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})
	// `openssl ecparam -genkey` writes the parameters before the key
	withParams := append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 0}}), ecPEM...)
	for name, c := range map[string]struct {
		pem  []byte
		want crypto.PublicKey
	}{
		"SEC 1": {ecPEM, ecKey.Public()}, "SEC 1 with parameters": {withParams, ecKey.Public()},
		"PKCS #8 EC": {pkcs8(ecKey), ecKey.Public()}, "PKCS #8 RSA": {pkcs8(rsaKey), rsaKey.Public()},
		"PKCS #1": {pkcs1, rsaKey.Public()},
	} {
		got, err := ParseKey(c.pem)
		if err != nil || !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseKey([]byte("not a key")); err == nil {
		t.Error("text was taken for a key")
	}
}

func TestAPlacedServiceKeyIsKeptAndABrokenOneRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), ServiceKey)
	if err := EnsureServiceKey(path); err != nil {
		t.Fatal(err)
	}
	first := read(t, path)
	if err := EnsureServiceKey(path); err != nil || !bytes.Equal(first, read(t, path)) {
		t.Error("the key was changed", err)
	}
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := EnsureServiceKey(path); err == nil {
		t.Error("a broken key was accepted")
	}
}

func TestAJoiningServerTakesEveryAuthorityAndTheServiceKey(t *testing.T) {
	want := "client-ca.crt client-ca.key etcd/peer-ca.crt etcd/peer-ca.key etcd/server-ca.crt etcd/server-ca.key " +
		"request-header-ca.crt request-header-ca.key server-ca.crt server-ca.key service.key"
	if got := strings.Join(SharedFiles(), " "); got != want {
		t.Error(got)
	}
}
