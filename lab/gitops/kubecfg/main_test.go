package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const manifest = `
local kubecfg = import 'kubecfg.libsonnet';
{
  namespace:: 'hidden',
  service: { kind: 'Service', spec: { ports: [{ port: 8080 }], selector: {} }, image: std.extVar('IMAGE') },
  crd: { schema: kubecfg.parseYaml(importstr 'schema.yaml')[0], long: 'word ' + std.repeat('x', 70) + ' word' },
}
`

func write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"m.jsonnet": manifest, "schema.yaml": "a: |-\n  one\n  two\nb: true\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "m.jsonnet")
}

func TestObjectsAreYAMLDocumentsInTheOrderThatIsGiven(t *testing.T) {
	got, err := show(write(t), map[string]string{"IMAGE": "registry/x:1"}, []string{"service", "crd"})
	if err != nil {
		t.Fatal(err)
	}
	want := `---
image: registry/x:1
kind: Service
spec:
  ports:
  - port: 8080
  selector: {}
---
long: word ` + strings.Repeat("x", 70) + `
  word
schema:
  a: |-
    one
    two
  b: true
`
	if string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAFieldThatNobodyNamedIsAnError(t *testing.T) {
	for _, fields := range [][]string{{"service"}, {"service", "crd", "more"}, {"service", "crd", "crd"}} {
		_, err := show(write(t), map[string]string{"IMAGE": ""}, fields)
		if err == nil || !strings.Contains(err.Error(), "has the fields [crd service]") {
			t.Errorf("%v: %v", fields, err)
		}
	}
}
