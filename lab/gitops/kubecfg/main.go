// Command kubecfg prints what `kubecfg show -o yaml` prints of a file of Kubernetes objects in jsonnet: kubecfg itself is
// no Go module that can be had.
//
//	kubecfg [-V NAME=VALUE]... FILE FIELD...
//
// The objects are the fields of the file's value. kubecfg writes them in no order that follows from the file, so theirs is
// given; a field that is left out, or that the file lacks, is an error.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-jsonnet"
	"gopkg.in/yaml.v2"
)

//go:embed kubecfg.libsonnet
var library string

func main() {
	variables := map[string]string{}
	flag.Func("V", "external variable NAME=VALUE", func(text string) error {
		name, value, found := strings.Cut(text, "=")
		if !found {
			return fmt.Errorf("%q is not NAME=VALUE", text)
		}
		variables[name] = value
		return nil
	})
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: kubecfg [-V NAME=VALUE]... FILE FIELD...")
		os.Exit(2)
	}
	text, err := show(flag.Arg(0), variables, flag.Args()[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubecfg:", err)
		os.Exit(1)
	}
	os.Stdout.Write(text)
}

// show renders the objects in the order of fields, each after a line of three dashes.
func show(file string, variables map[string]string, fields []string) ([]byte, error) {
	vm := jsonnet.MakeVM()
	vm.Importer(&importer{library: jsonnet.MakeContents(library)})
	for name, value := range variables {
		vm.ExtVar(name, value)
	}
	text, err := vm.EvaluateFile(file)
	if err != nil {
		return nil, err
	}
	var objects map[string]any
	if err := json.Unmarshal([]byte(text), &objects); err != nil {
		return nil, fmt.Errorf("%s: not an object of objects: %w", file, err)
	}
	wanted := slices.Sorted(slices.Values(fields))
	if found := slices.Sorted(maps.Keys(objects)); !slices.Equal(found, wanted) {
		return nil, fmt.Errorf("%s has the fields %v, and was to have %v", file, found, wanted)
	}
	var out bytes.Buffer
	for _, field := range fields {
		document, err := yaml.Marshal(objects[field])
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, field, err)
		}
		out.WriteString("---\n")
		out.Write(document)
	}
	return out.Bytes(), nil
}

// importer reads beside the importing file, and knows kubecfg's library.
type importer struct {
	files   jsonnet.FileImporter
	library jsonnet.Contents
}

func (i *importer) Import(from, path string) (jsonnet.Contents, string, error) {
	if filepath.Base(path) == "kubecfg.libsonnet" {
		return i.library, "kubecfg.libsonnet", nil
	}
	return i.files.Import(from, path)
}
