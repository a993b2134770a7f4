package boot

import (
	"context"
	"encoding"
	"fmt"
	"io"
	"log" //nolint:depguard // net/http reports its errors to a *log.Logger
	"log/slog"
	"reflect"
	"runtime/debug"
	"strings"

	"google.golang.org/protobuf/proto"
)

// Sensitive marks a type whose values are never logged, whatever the attribute is called. Domain types that hold health
// data implement it without importing this package.
type Sensitive interface{ Sensitive() }

// denied are the attribute keys whose values are never logged, in lower case without separators: what identifies a person,
// and what grants access. It is a second line; the first is not to pass such values to a logger.
var denied = map[string]bool{
	"name": true, "family": true, "given": true, "firstname": true, "lastname": true, "fullname": true, "patient": true,
	"patientname": true, "birthdate": true, "dob": true, "dateofbirth": true, "gender": true, "sex": true, "ssn": true,
	"mbi": true, "memberid": true, "memberidentifier": true, "subscriberid": true, "identifier": true, "mrn": true,
	"address": true, "street": true, "city": true, "postalcode": true, "zip": true, "telecom": true, "phone": true,
	"email": true, "demographics": true, "resource": true, "body": true, "payload": true, "input": true, "result": true,
	"authorization": true, "cookie": true, "setcookie": true, "token": true, "accesstoken": true, "idtoken": true,
	"assertion": true, "clientassertion": true, "jwt": true, "password": true, "secret": true, "clientsecret": true,
	"apikey": true, "privatekey": true, "dsn": true, "databaseurl": true, "query": true, "args": true,
}

var separators = strings.NewReplacer("_", "", "-", "", ".", "", " ", "")

// NewLogger returns the process's logger: structured, redacting, every record naming the service and the build.
// A level or format that Check would refuse falls back to info and JSON.
func NewLogger(w io.Writer, c LogConfig, service string) *slog.Logger {
	level, _ := c.level()
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(w, opts)
	if c.Format == "text" {
		h = slog.NewTextHandler(w, opts)
	}
	version, revision := Build()
	return slog.New(NewRedactor(h)).With("service", service, "version", version, "revision", revision)
}

func (c LogConfig) level() (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(c.Level))
	return l, err
}

// Build returns the module version and the commit this binary was made from, as the Go tool recorded them, with "+dirty"
// on a commit that was not clean. "unknown" stands for what was not recorded.
func Build() (version, revision string) {
	version, revision = "unknown", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision
	}
	if info.Main.Version != "" {
		version = info.Main.Version
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	return version, revision + dirty
}

// httpErrorLog turns the lines net/http logs about broken connections into records.
func httpErrorLog(l *slog.Logger, server string) *log.Logger {
	return slog.NewLogLogger(l.With("server", server).Handler(), slog.LevelDebug)
}

// Redactor is a slog.Handler that replaces, before another handler sees them, the values of attributes that must not be
// logged: those under a denied key or of a Sensitive type, and structs, maps and the like, of which nobody can tell what
// they hold. Numbers, strings, times, errors and types that say themselves how they print pass.
type Redactor struct{ next slog.Handler }

// NewRedactor wraps a handler.
func NewRedactor(next slog.Handler) *Redactor { return &Redactor{next: next} }

// Enabled asks the wrapped handler.
func (r *Redactor) Enabled(ctx context.Context, l slog.Level) bool { return r.next.Enabled(ctx, l) }

// Handle passes a cleaned copy of the record on.
func (r *Redactor) Handle(ctx context.Context, rec slog.Record) error {
	clean := slog.NewRecord(rec.Time, rec.Level, rec.Message, rec.PC)
	for a := range rec.Attrs {
		clean.AddAttrs(redact(a))
	}
	return r.next.Handle(ctx, clean)
}

// WithAttrs cleans the attributes once, for all records to come.
func (r *Redactor) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Redactor{next: r.next.WithAttrs(redactAll(attrs))}
}

// WithGroup opens a group. The keys in it are judged as they are outside.
func (r *Redactor) WithGroup(name string) slog.Handler {
	return &Redactor{next: r.next.WithGroup(name)}
}

func redactAll(attrs []slog.Attr) []slog.Attr {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = redact(a)
	}
	return clean
}

func redact(a slog.Attr) slog.Attr {
	if denied[strings.ToLower(separators.Replace(a.Key))] || isSensitive(a.Value) {
		return slog.String(a.Key, redacted)
	}
	v := a.Value.Resolve()
	switch {
	case isSensitive(v):
		return slog.String(a.Key, redacted)
	case v.Kind() == slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(redactAll(v.Group())...)}
	case v.Kind() == slog.KindAny:
		return slog.Attr{Key: a.Key, Value: plain(v)}
	default:
		return slog.Attr{Key: a.Key, Value: v}
	}
}

// isSensitive looks at the value before it resolves itself, too: a marked type with a LogValue is still marked.
func isSensitive(v slog.Value) bool {
	if v.Kind() != slog.KindAny && v.Kind() != slog.KindLogValuer {
		return false
	}
	_, ok := v.Any().(Sensitive)
	return ok
}

// plain turns a value of any type into what it says of itself, or into the name of its type when it says nothing. Left to
// itself the JSON handler would print the exported fields of a type whose String hides them.
func plain(v slog.Value) (out slog.Value) {
	defer func() {
		if recover() != nil { // a nil pointer whose methods do not expect it
			out = slog.StringValue("<nil>")
		}
	}()
	switch x := v.Any().(type) {
	case nil:
		return v
	case error:
		return slog.StringValue(x.Error())
	case proto.Message: // a Stringer that prints everything
		return slog.StringValue(fmt.Sprintf("[omitted: %T]", x))
	case fmt.Stringer:
		return slog.StringValue(x.String())
	case encoding.TextMarshaler:
		if text, err := x.MarshalText(); err == nil {
			return slog.StringValue(string(text))
		}
	}
	t := reflect.TypeOf(v.Any())
	if basic(t.Kind()) || t.Kind() == reflect.Slice && listable(t.Elem()) {
		return v
	}
	return slog.StringValue(fmt.Sprintf("[omitted: %T]", v.Any()))
}

// listable reports whether a list of the type may be shown. Bytes are somebody's content.
func listable(t reflect.Type) bool {
	return basic(t.Kind()) && t.Kind() != reflect.Uint8 && !t.Implements(reflect.TypeFor[Sensitive]())
}

func basic(k reflect.Kind) bool {
	return k >= reflect.Bool && k <= reflect.Float64 && k != reflect.Uintptr || k == reflect.String
}
