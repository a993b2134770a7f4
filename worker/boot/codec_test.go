package boot_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"pdexbulk/models"
	"pdexbulk/worker/boot"
)

func key(id string, b byte) string {
	return id + ":" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32))
}

func codec(t testing.TB, keys ...string) *boot.Codec {
	t.Helper()
	c, err := boot.ParseCodec(strings.Join(keys, ","))
	require.NoError(t, err)
	return c
}

func seal(t testing.TB, c *boot.Codec, text string) *commonpb.Payload {
	t.Helper()
	out, err := c.Encode([]*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(text)}})
	require.NoError(t, err)
	require.Len(t, out, 1)
	return out[0]
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	c := codec(t, key("a", 1))
	rapid.Check(t, func(t *rapid.T) {
		in := make([]*commonpb.Payload, rapid.IntRange(0, 4).Draw(t, "n"))
		for i := range in {
			in[i] = &commonpb.Payload{
				Metadata: rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.Byte())).Draw(t, "metadata"),
				Data:     rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
			}
		}
		sealed, err := c.Encode(in)
		require.NoError(t, err)
		require.Len(t, sealed, len(in))
		opened, err := c.Decode(sealed)
		require.NoError(t, err)
		for i := range in {
			require.True(t, proto.Equal(in[i], opened[i]))
		}
	})
}

func TestCodecHides(t *testing.T) {
	t.Parallel()
	c := codec(t, key("k.1", 1))
	p := seal(t, c, "a secret worth hiding")
	require.Equal(t, "binary/encrypted", string(p.Metadata["encoding"]))
	require.Equal(t, "k.1", string(p.Metadata["encryption-key-id"]))
	require.Len(t, p.Metadata, 2)
	require.NotContains(t, string(p.Data), "secret")
	require.NotContains(t, string(p.Data), "json/plain")
	require.NotEqual(t, p.Data, seal(t, c, "a secret worth hiding").Data, "the nonce is fresh")
}

func TestCodecTamper(t *testing.T) {
	t.Parallel()
	c := codec(t, key("a", 1), key("b", 2))
	for i := range seal(t, c, "x").Data {
		p := seal(t, c, "x")
		p.Data[i] ^= 1
		_, err := c.Decode([]*commonpb.Payload{p})
		require.ErrorIs(t, err, boot.ErrTampered)
	}
	p := seal(t, c, "x")
	p.Metadata["encryption-key-id"] = []byte("b")
	_, err := c.Decode([]*commonpb.Payload{p})
	require.ErrorIs(t, err, boot.ErrTampered)

	same := codec(t, key("b", 1))
	_, err = same.Decode([]*commonpb.Payload{p})
	require.ErrorIs(t, err, boot.ErrTampered, "the key id is authenticated, not only used")

	p.Data = p.Data[:5]
	_, err = c.Decode([]*commonpb.Payload{p})
	require.ErrorIs(t, err, boot.ErrTampered)
}

func TestCodecRotation(t *testing.T) {
	t.Parallel()
	old, both, after := codec(t, key("2025", 1)), codec(t, key("2026", 2), key("2025", 1)), codec(t, key("2026", 2))
	before := seal(t, old, "x")
	opened, err := both.Decode([]*commonpb.Payload{before, seal(t, both, "y")})
	require.NoError(t, err)
	require.Equal(t, "x", string(opened[0].Data))
	require.Equal(t, "y", string(opened[1].Data))
	require.Equal(t, "2026", string(seal(t, both, "z").Metadata["encryption-key-id"]), "the first seals")
	_, err = after.Decode([]*commonpb.Payload{before})
	require.ErrorIs(t, err, boot.ErrUnknownKey)
}

func TestCodecPassesPlain(t *testing.T) {
	t.Parallel()
	plain := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"x"`)}
	opened, err := codec(t, key("a", 1)).Decode([]*commonpb.Payload{plain, {}})
	require.NoError(t, err)
	require.Same(t, plain, opened[0])
}

func TestParseCodecRefuses(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"empty":         "",
		"no id":         "SECRETPART",
		"empty id":      ":" + strings.TrimPrefix(key("", 1), ":"),
		"bad id":        key("a b", 1),
		"long id":       key(strings.Repeat("a", 65), 1),
		"not base64":    "a:SECRETPART!",
		"short key":     "a:" + base64.StdEncoding.EncodeToString([]byte("SECRETPART")),
		"twice":         key("a", 1) + "," + key("a", 2),
		"hanging comma": key("a", 1) + ",",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := boot.ParseCodec(s)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "SECRETPART")
		})
	}
}

func FuzzCodecDecode(f *testing.F) {
	c := codec(f, key("a", 1))
	good := seal(f, c, "x")
	f.Add("binary/encrypted", "a", good.Data)
	f.Add("binary/encrypted", "b", good.Data)
	f.Add("binary/encrypted", "a", []byte{})
	f.Add("json/plain", "", []byte("x"))
	f.Fuzz(func(t *testing.T, encoding, id string, data []byte) {
		in := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding), "encryption-key-id": []byte(id)}, Data: data}
		out, err := c.Decode([]*commonpb.Payload{in})
		if encoding != "binary/encrypted" {
			require.NoError(t, err)
			require.Same(t, in, out[0])
			return
		}
		if err == nil {
			// Only a seal of this key opens, and the only one there is holds this.
			require.Equal(t, "a", id)
			require.Equal(t, "x", string(out[0].Data))
		}
	})
}

func TestConverters(t *testing.T) {
	t.Parallel()
	data, failures := boot.Converters(codec(t, key("a", 1)))
	p, err := data.ToPayload("hello")
	require.NoError(t, err)
	require.NotContains(t, p.String(), "hello")
	var back string
	require.NoError(t, data.FromPayload(p, &back))
	require.Equal(t, "hello", back)

	f := failures.ErrorToFailure(temporal.NewApplicationError("told in confidence", "kind"))
	require.NotContains(t, f.String(), "confidence", "failures are sealed too")
	require.Contains(t, failures.FailureToError(f).Error(), "told in confidence")

	data, failures = boot.Converters(nil)
	require.Equal(t, converter.GetDefaultDataConverter(), data)
	require.Contains(t, failures.ErrorToFailure(errBoom).String(), "boom")
}

func TestCodecHandler(t *testing.T) {
	t.Parallel()
	const ui = "https://ui.example.org"
	c := codec(t, key("a", 1))
	h := boot.CodecHandler(c, func(r *http.Request) error {
		switch r.Header.Get("Authorization") {
		case "":
			return models.Errorf(models.KindUnauthorized, "no token")
		case "admin":
			return nil
		default:
			return errBoom
		}
	}, ui)
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)

	remote := func(token string) converter.PayloadCodec {
		return converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{
			Endpoint:      srv.URL + "/codec",
			ModifyRequest: func(r *http.Request) error { r.Header.Set("Authorization", token); return nil },
		})
	}
	opened, err := remote("admin").Decode([]*commonpb.Payload{seal(t, c, "hello")})
	require.NoError(t, err)
	require.Equal(t, "hello", string(opened[0].Data))
	sealed, err := remote("admin").Encode(opened)
	require.NoError(t, err)
	require.NotContains(t, string(sealed[0].Data), "hello")

	tests := map[string]struct {
		method, path, token, origin, body string
		status                            int
		allowed                           bool
	}{
		"nobody":         {"POST", "/codec/decode", "", ui, "{}", 401, true},
		"not an admin":   {"POST", "/codec/encode", "user", ui, "{}", 403, true},
		"admin":          {"POST", "/codec/decode", "admin", ui, "{}", 200, true},
		"other page":     {"POST", "/codec/decode", "admin", "https://evil.example", "{}", 200, false},
		"preflight":      {"OPTIONS", "/codec/decode", "", ui, "", 204, true},
		"other's flight": {"OPTIONS", "/codec/decode", "", "https://evil.example", "", 204, false},
		"nonsense":       {"POST", "/codec/decode", "admin", ui, "not json", 400, true},
		"too long":       {"POST", "/codec/decode", "admin", ui, strings.Repeat(" ", 17<<20), 400, true},
		"unknown key":    {"POST", "/codec/decode", "admin", ui, `{"payloads":[{"metadata":{"encoding":"YmluYXJ5L2VuY3J5cHRlZA=="}}]}`, 400, true},
		"get":            {"GET", "/codec/decode", "admin", ui, "", 405, false},
		"elsewhere":      {"POST", "/codec/x/decode", "admin", ui, "", 404, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Origin", tt.origin)
			r.Header.Set("Authorization", tt.token)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code, "%s", w.Body)
			want := ""
			if tt.allowed {
				want = ui
			}
			require.Equal(t, want, w.Header().Get("Access-Control-Allow-Origin"))
		})
	}
}
