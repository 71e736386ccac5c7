package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/lab/k3s/internal/pki"
)

func newCA(t *testing.T) []byte {
	t.Helper()
	base := filepath.Join(t.TempDir(), "ca")
	if _, err := pki.EnsureCA(base, "test"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(base + ".crt")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTheHashOfASingleCAIsThatOfTheFileBytes(t *testing.T) {
	ca := newCA(t)
	sum := sha256.Sum256(ca)
	if got, err := CAHash(ca); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := CAHash(append(ca, '\n')); err != nil || got == hex.EncodeToString(sum[:]) {
		t.Errorf("one more newline must change the hash: %v", err)
	}
}

func TestTheHashOfABundleIsThatOfItsRoot(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(name string, parent *x509.Certificate) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
			NotAfter: time.Now().Add(time.Hour), SubjectKeyId: []byte(name),
		}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	root := make("root", nil)
	intermediate := make("intermediate", root)
	var bundle []byte
	for _, cert := range []*x509.Certificate{intermediate, root} {
		bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	sum := sha256.Sum256(root.Raw)
	if got, err := CAHash(bundle); err != nil || got != hex.EncodeToString(sum[:]) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestAFormattedTokenParsesBackAndVerifiesOnlyItsCA(t *testing.T) {
	ca := newCA(t)
	s, err := Format(ca, UserNode, "pass:word")
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(s, UserServer)
	if err != nil || tok.User != UserNode || tok.Password != "pass:word" {
		t.Fatalf("%+v, %v", tok, err)
	}
	if err := tok.Verify(ca); err != nil {
		t.Error(err)
	}
	if err := tok.Verify(newCA(t)); err == nil || !strings.Contains(err.Error(), "token CA hash does not match") {
		t.Error(err)
	}
}

func TestTheShortFormSpeaksForTheCallerAndTrustsAnyCA(t *testing.T) {
	tok, err := Parse("secret", UserNode)
	if err != nil || tok != (Token{User: UserNode, Password: "secret"}) {
		t.Errorf("%+v, %v", tok, err)
	}
	if err := tok.Verify(newCA(t)); err != nil {
		t.Error(err)
	}
}

func TestMalformedTokensAreRefused(t *testing.T) {
	hash := strings.Repeat("a", 64)
	for _, s := range []string{"", "K10", "K10abc::server:x", "K10" + hash + "::server:", "K10" + hash + "::other:x", "K10" + hash + ":server:x", "abcdef.0123456789abcdef"} {
		if tok, err := Parse(s, UserServer); err == nil {
			t.Errorf("%q gave %+v", s, tok)
		}
	}
}
