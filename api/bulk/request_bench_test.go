package bulk

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/blob"
)

// BenchmarkStoreRequest reads and stores a request of 2000 people with some 4 kB each.
func BenchmarkStoreRequest(b *testing.B) {
	files, err := blob.Open(b.Context(), "file://"+b.TempDir())
	require.NoError(b, err)
	var text strings.Builder
	text.WriteString(`{"resourceType":"Parameters","parameter":[`)
	filler := strings.Repeat(`{"url":"http://example.org/x","valueString":"something to read"},`, 15)
	for i := range 2000 {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"name":"MemberBundle","part":[{"name":"MemberPatient","resource":{"resourceType":"Patient","id":"p%d","extension":[%s{"url":"u"}]}},`, i, filler)
		fmt.Fprintf(&text, `{"name":"CoverageToMatch","resource":{"resourceType":"Coverage","extension":[%s{"url":"u"}]}},`, filler)
		fmt.Fprintf(&text, `{"name":"Consent","resource":{"resourceType":"Consent","patient":{"reference":"Patient/p%d"},"extension":[%s{"url":"u"}]}}]}`, i, filler)
	}
	text.WriteString(`]}`)
	body := []byte(text.String())
	s := &Service{Files: files, Log: slog.New(slog.DiscardHandler), MaxMembers: 2000, MaxBundle: 4 << 20}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		params := models.MatchParams{BlobKey: "matches/request"}
		_, _, err := s.storeRequest(context.Background(), bytes.NewReader(body), &payerMatch, &params)
		require.NoError(b, err)
	}
}
