package boot

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// prefix begins the name of every variable of ours.
const prefix = "PDEX_"

// Variable is one environment variable a program reads.
type Variable struct {
	Name    string
	Default string // "" when there is none
	Help    string
	Secret  bool // its value must not be shown
}

// Load reads a Config from the environment, given as "KEY=value", and fills the further structs more points to, which are
// tagged alike. A variable set to nothing counts as not set. Errors name the variable and never its value.
func Load(environ []string, more ...any) (Config, error) {
	var c Config
	opts := env.Options{Environment: env.ToMap(environ)}
	for _, into := range append([]any{&c}, more...) {
		if err := env.ParseWithOptions(into, opts); err != nil {
			return Config{}, nameVariables(err, into)
		}
	}
	return c, nil
}

// nameVariables replaces the parser's error, which quotes the value and names the Go field.
func nameVariables(err error, into any) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return errors.New("the environment cannot be read")
	}
	var bad []error
	for _, err := range all.Errors {
		var parse env.ParseError
		if !errors.As(err, &parse) {
			bad = append(bad, errors.New("the environment cannot be read"))
			continue
		}
		for _, f := range fields(reflect.TypeOf(into)) {
			if f.Name == parse.Name && f.Type == parse.Type {
				bad = append(bad, fmt.Errorf("%s: not a %s", f.Tag.Get("env"), parse.Type))
			}
		}
	}
	return errors.Join(bad...)
}

// Describe lists the variables of Config, and of further structs of the same make, in the order of their fields.
func Describe(more ...any) []Variable {
	var all []Variable
	for _, s := range append([]any{Config{}}, more...) {
		for _, f := range fields(reflect.TypeOf(s)) {
			all = append(all, Variable{
				Name:    f.Tag.Get("env"),
				Default: f.Tag.Get("envDefault"),
				Help:    f.Tag.Get("help"),
				Secret:  f.Type == reflect.TypeFor[Secret](),
			})
		}
	}
	return all
}

// fields lists the tagged fields of a config struct and of the structs in it.
func fields(t reflect.Type) []reflect.StructField {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var all []reflect.StructField
	for f := range t.Fields() {
		switch {
		case f.Tag.Get("env") != "":
			all = append(all, f)
		case f.Type.Kind() == reflect.Struct:
			all = append(all, fields(f.Type)...)
		}
	}
	return all
}

// Unknown returns the names of variables that look like ours and that nothing reads: most often a misspelt one, whose
// intended effect is silently missing.
func Unknown(environ []string, more ...any) []string {
	known := Describe(more...)
	var unknown []string
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, prefix) && !slices.ContainsFunc(known, func(v Variable) bool { return v.Name == name }) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// Secret is a configuration value that prints as a placeholder however it is printed. Only Reveal shows it.
type Secret string

const redacted = "[redacted]"

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// Format prints the placeholder for every verb, so that %#v and %x show no more than %s.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// String returns the placeholder, or "" for no value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// MarshalText keeps the value out of JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps the value out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
