// Package config reads what k3s reads: config.yaml, config.yaml.d, the command line and the environment.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Command is the k3s subcommand that the settings are for; each knows other flags.
type Command int

// The subcommands that read the configuration.
const (
	Server Command = iota
	Agent
	Snapshot // `k3s etcd-snapshot`: skips what it does not know in the file, as k3s does
)

// DefaultFile is where k3s looks when neither --config nor K3S_CONFIG_FILE names a file.
const DefaultFile = "/etc/rancher/k3s/config.yaml"

// Config holds every value that was set, by flag name.
type Config struct {
	Args    []string // of Snapshot: what to do, and the names to do it to
	command Command
	values  map[string][]string
	flags   map[string]flag
}

// Load merges, from weak to strong: environment, file, file.d/*.yaml in alphabetical order, command line.
// A later file replaces a key, `key+` appends to it; the command line replaces lists too.
// Source: docs.k3s.io/installation/configuration.
//
// An unknown flag or key is an error in k3s's own words. (k3s only warns of an unknown key in a server's
// file; here it is an error there as well, so that a typo cannot pass the lab's tests.)
func Load(command Command, args []string, getenv func(string) string) (*Config, error) {
	c := &Config{command: command, values: map[string][]string{}, flags: flagsOf(command)}
	flags, err := c.parse(args)
	if err != nil {
		return nil, err
	}
	for name, f := range c.flags {
		if v := getenv(f.env); f.env != "" && v != "" {
			c.values[name] = []string{v}
		}
	}
	file, explicit := DefaultFile, false
	for _, v := range [][]string{c.values["config"], flags["config"]} {
		if len(v) > 0 {
			file, explicit = v[0], true
		}
	}
	if err := c.readFiles(file, explicit, command == Snapshot); err != nil {
		return nil, err
	}
	maps.Copy(c.values, flags)
	return c, c.check()
}

func flagsOf(command Command) map[string]flag {
	flags := maps.Clone(agentFlags)
	if command != Agent {
		maps.Copy(flags, serverOnlyFlags)
	}
	if command == Snapshot {
		maps.Copy(flags, snapshotFlags)
	}
	return flags
}

func (c *Config) lookup(name string) (string, flag, error) {
	if full, ok := snapshotAliases[name]; ok && c.command == Snapshot {
		name = full
	} else if full, ok := aliases[name]; ok {
		name = full
	} else if c.command == Snapshot && (name == "s3" || strings.HasPrefix(name, "s3-")) {
		name = "etcd-" + name
	}
	f, ok := c.flags[name]
	if !ok {
		return "", f, fmt.Errorf("flag provided but not defined: -%s", name)
	}
	return name, f, nil
}

func (c *Config) parse(args []string) (map[string][]string, error) {
	out := map[string][]string{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		if c.command == Snapshot && (!strings.HasPrefix(arg, "-") || len(c.Args) > 1) {
			if c.Args = append(c.Args, arg); strings.HasPrefix(arg, "-") {
				// k3s would take it for a snapshot's name too, and say that there is none.
				return nil, fmt.Errorf("%q is behind a snapshot's name: flags go before the names", arg)
			}
			continue
		}
		if !strings.HasPrefix(arg, "-") || name == "" {
			return nil, fmt.Errorf("unexpected argument %q", arg)
		}
		name, f, err := c.lookup(name)
		if err != nil {
			return nil, err
		}
		switch {
		case hasValue:
		case f.kind == boolean:
			value = "true"
		case len(args) == 0:
			return nil, fmt.Errorf("flag needs an argument: -%s", name)
		default:
			value, args = args[0], args[1:]
		}
		if f.kind == list {
			out[name] = append(out[name], value)
		} else {
			out[name] = []string{value}
		}
	}
	return out, nil
}

func (c *Config) readFiles(file string, explicit, skipUnknown bool) error {
	found, err := filepath.Glob(file + ".d/*")
	if err != nil {
		return err
	}
	dropIns := slices.DeleteFunc(found, func(path string) bool {
		ext := filepath.Ext(path)
		return ext != ".yaml" && ext != ".yml"
	})
	slices.Sort(dropIns)
	for i, path := range append([]string{file}, dropIns...) {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && (i > 0 || !explicit || len(dropIns) > 0) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.merge(data, skipUnknown); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (c *Config) merge(data []byte, skipUnknown bool) error {
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return err
	}
	var keys map[string]any
	d := json.NewDecoder(bytes.NewReader(asJSON))
	d.UseNumber() // 10000000 must not become 1e+07
	if err := d.Decode(&keys); err != nil {
		return fmt.Errorf("the file is not a mapping of settings: %w", err)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) { // "key" before "key+"
		plain := strings.TrimSuffix(key, "+")
		name, f, err := c.lookup(plain)
		if err != nil && skipUnknown {
			continue
		}
		if err != nil {
			return err
		}
		values, err := stringsOf(keys[key])
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if key != plain {
			values = append(slices.Clone(c.values[name]), values...)
		} else if f.kind != list && len(values) > 1 {
			values = values[len(values)-1:]
		}
		c.values[name] = values
	}
	return nil
}

func stringsOf(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case bool, json.Number:
		return []string{fmt.Sprint(v)}, nil
	case []any:
		var out []string
		for _, item := range v {
			s, err := stringsOf(item)
			if err != nil {
				return nil, err
			}
			out = append(out, s...)
		}
		return out, nil
	}
	return nil, errors.New("a value or a list of values is expected, not a mapping")
}

func (c *Config) check() error {
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		f := c.flags[name]
		if f.effect == refused && c.isSet(name) {
			return fmt.Errorf("--%s is a k3s feature that this lab stand-in does not have", name)
		}
		v := c.Get(name, "")
		if v == "" {
			continue
		}
		var err error
		switch f.kind {
		case boolean:
			_, err = strconv.ParseBool(v)
		case number:
			_, err = strconv.Atoi(v)
		case duration:
			_, err = time.ParseDuration(v)
		}
		if err != nil {
			return fmt.Errorf("invalid %s value %q for -%s", f.kind, v, name)
		}
	}
	return nil
}

func (c *Config) isSet(name string) bool {
	v := c.Get(name, "")
	return v != "" && !(c.flags[name].kind == boolean && !c.Bool(name))
}

// Get gives the value of a setting, or the default where it is absent or empty.
func (c *Config) Get(name, otherwise string) string {
	if v := c.values[name]; len(v) > 0 && v[len(v)-1] != "" {
		return v[len(v)-1]
	}
	return otherwise
}

// Bool tells whether a switch is on.
func (c *Config) Bool(name string) bool {
	on, _ := strconv.ParseBool(c.Get(name, "false"))
	return on
}

// Number gives the value of a numeric setting, or the default.
func (c *Config) Number(name string, otherwise int) int {
	if n, err := strconv.Atoi(c.Get(name, "")); err == nil {
		return n
	}
	return otherwise
}

// Duration gives the value of a setting such as 5m0s, or the default.
func (c *Config) Duration(name string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(c.Get(name, "")); err == nil {
		return d
	}
	return otherwise
}

// List gives the values of a repeatable setting as they were given.
func (c *Config) List(name string) []string { return slices.Clone(c.values[name]) }

// Split gives the values of a setting that k3s also takes as one comma-separated value.
func (c *Config) Split(name string) []string {
	var out []string
	for _, v := range c.values[name] {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

// First gives the first value of a comma-separated list setting, or the default.
func (c *Config) First(name, otherwise string) string {
	if v := c.Split(name); len(v) > 0 {
		return v[0]
	}
	return otherwise
}

// Secret gives the value of `name`, or else what the file named by `name-file` holds.
func (c *Config) Secret(name string) (string, error) {
	if v := c.Get(name, ""); v != "" {
		return v, nil
	}
	file := c.Get(name+"-file", "")
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("--%s-file: %w", name, err)
	}
	if v := strings.TrimSpace(string(data)); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("--%s-file: %s is empty", name, file)
}

// Inert lists the settings that are on but have no effect in the stand-in.
func (c *Config) Inert() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		if c.flags[name].effect == inert && c.isSet(name) {
			out = append(out, name)
		}
	}
	return out
}
