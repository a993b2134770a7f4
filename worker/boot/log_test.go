package boot_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	temporallog "go.temporal.io/sdk/log"

	"pdexbulk/worker/boot"
)

const phi = "Zebulon"

// person is marked, and betrays itself in every other way.
type person struct{ Family string }

func (person) Sensitive()                     {}
func (p person) LogValue() slog.Value         { return slog.StringValue(p.Family) }
func (p person) String() string               { return p.Family }
func (p person) Error() string                { return p.Family }
func (p person) MarshalText() ([]byte, error) { return []byte(p.Family), nil }

// discreet shows no more than its id, though its fields are exported.
type discreet struct{ ID, Family string }

func (d discreet) String() string { return d.ID }

type plainStruct struct{ Family string }

type marked string

func (marked) Sensitive() {}

type grouped struct{}

func (grouped) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", "7"), slog.String("family", phi), slog.Any("who", person{phi}))
}

func TestRedaction(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		attr slog.Attr
		want any
	}{
		"denied key":      {slog.String("family", phi), "[redacted]"},
		"denied, spelt":   {slog.String("Birth_Date", phi), "[redacted]"},
		"denied, number":  {slog.Int("ssn", 123456789), "[redacted]"},
		"denied, struct":  {slog.Any("patient", plainStruct{phi}), "[redacted]"},
		"denied, group":   {slog.Group("member-id", slog.String("x", phi)), "[redacted]"},
		"bearer":          {slog.String("Authorization", "Bearer "+phi), "[redacted]"},
		"marked":          {slog.Any("who", person{phi}), "[redacted]"},
		"marked pointer":  {slog.Any("who", &person{phi}), "[redacted]"},
		"marked string":   {slog.Any("who", marked(phi)), "[redacted]"},
		"marked list":     {slog.Any("who", []marked{phi}), "[omitted: []boot_test.marked]"},
		"secret":          {slog.Any("url", boot.Secret(phi)), "[redacted]"},
		"struct":          {slog.Any("who", plainStruct{phi}), "[omitted: boot_test.plainStruct]"},
		"pointer":         {slog.Any("who", &plainStruct{phi}), "[omitted: *boot_test.plainStruct]"},
		"map":             {slog.Any("who", map[string]string{"a": phi}), "[omitted: map[string]string]"},
		"list of structs": {slog.Any("who", []plainStruct{{phi}}), "[omitted: []boot_test.plainStruct]"},
		"bytes":           {slog.Any("raw", []byte(phi)), "[omitted: []uint8]"},
		"protobuf":        {slog.Any("p", &commonpb.Payload{Data: []byte(phi)}), "[omitted: *common.Payload]"},
		"stringer":        {slog.Any("who", discreet{"7", phi}), "7"},
		"nil stringer":    {slog.Any("who", (*discreet)(nil)), "<nil>"},
		"LogValuer":       {slog.Any("who", grouped{}), map[string]any{"id": "7", "family": "[redacted]", "who": "[redacted]"}},
		"error":           {slog.Any("error", errors.New("copy members: boom")), "copy members: boom"},
		"string":          {slog.String("job", "0190"), "0190"},
		"number":          {slog.Int("rows", 3), 3.0},
		"named string":    {slog.Any("state", json.Number("5")), "5"},
		"list":            {slog.Any("types", []string{"Patient", "Claim"}), []any{"Patient", "Claim"}},
		"nothing":         {slog.Any("x", nil), nil},
		"duration":        {slog.Duration("took", time.Second), 1e9},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for way, log := range map[string]func(l *slog.Logger){
				"record": func(l *slog.Logger) { l.LogAttrs(t.Context(), slog.LevelInfo, "m", tt.attr) },
				"with":   func(l *slog.Logger) { l.With(tt.attr).Info("m") },
				"temporal": func(l *slog.Logger) {
					temporallog.With(temporallog.NewStructuredLogger(l), tt.attr.Key, tt.attr.Value.Any()).Info("m")
				},
			} {
				var out bytes.Buffer
				log(slog.New(boot.NewRedactor(slog.NewJSONHandler(&out, nil))))
				require.NotContains(t, out.String(), phi)
				if way == "temporal" && tt.attr.Value.Kind() == slog.KindGroup {
					continue
				}
				var rec map[string]any
				require.NoError(t, json.Unmarshal(out.Bytes(), &rec))
				require.Equal(t, tt.want, rec[tt.attr.Key], way)

				out.Reset()
				log(slog.New(boot.NewRedactor(slog.NewTextHandler(&out, nil))).WithGroup("g"))
				require.NotContains(t, out.String(), phi)
			}
		})
	}
}

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := boot.NewLogger(&out, boot.LogConfig{Level: "warn", Format: "json"}, "api")
	l.Info("unheard")
	require.Empty(t, out.String())
	l.Warn("heard", "rows", 1)
	var rec map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &rec))
	version, revision := boot.Build()
	require.NotEmpty(t, version)
	require.NotEmpty(t, revision)
	delete(rec, "time")
	require.Equal(t, map[string]any{"level": "WARN", "msg": "heard", "rows": 1.0, "service": "api", "version": version, "revision": revision}, rec)

	out.Reset()
	boot.NewLogger(&out, boot.LogConfig{Level: "info", Format: "text"}, "worker").Info("heard")
	require.Contains(t, out.String(), fmt.Sprintf("msg=heard service=worker version=%s", version))
}
