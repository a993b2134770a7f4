package activities

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

// scrubbed is the contained copy of a resource as encoding/json makes it: the members in the order of their names.
func scrubbed(t require.TestingT, resource []byte) map[string]json.RawMessage {
	var fields, meta map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(resource, &fields))
	delete(fields, "contained")
	if json.Unmarshal(fields["meta"], &meta) != nil {
		return fields
	}
	for _, name := range []string{"versionId", "lastUpdated", "security"} {
		delete(meta, name)
	}
	if delete(fields, "meta"); len(meta) > 0 {
		text, err := json.Marshal(meta)
		require.NoError(t, err)
		fields["meta"] = text
	}
	return fields
}

func TestContainedCopy(t *testing.T) {
	t.Parallel()
	value := rapid.OneOf(
		rapid.Just(`null`), rapid.Just(`[1.10,{"z":"<&>","a":[]}]`), rapid.Just(`"\u2028 \u003c `+"\u2028"+` é\"}"`), rapid.Just(`{}`),
		rapid.Map(rapid.StringN(0, 6, -1), func(s string) string { b, _ := json.Marshal(s); return string(b) }),
	)
	object := func(t *rapid.T, names []string, of map[string]string) string {
		var text []string
		for _, name := range rapid.Permutation(names).Draw(t, "order") {
			if v, there := of[name]; there {
				text = append(text, fmt.Sprintf(`%q:%s`, name, v))
			} else if name == "resourceType" || rapid.Bool().Draw(t, name) {
				text = append(text, fmt.Sprintf(`%q:%s`, name, value.Draw(t, "value")))
			}
		}
		return "{" + strings.Join(text, ",") + "}"
	}
	rapid.Check(t, func(t *rapid.T) {
		of := map[string]string{}
		switch rapid.IntRange(0, 2).Draw(t, "meta") {
		case 0:
			of["meta"] = object(t, []string{"versionId", "lastUpdated", "security", "profile", "a<b", "tag"}, nil)
		case 1:
			of["meta"] = value.Draw(t, "odd meta")
		}
		resource := []byte(object(t, []string{"resourceType", "id", "meta", "contained", "active", "a<b", "zeta", "_id", "identifier"}, of))
		want := scrubbed(t, resource)
		text := func() string {
			b, err := json.Marshal(want)
			require.NoError(t, err)
			return string(b)
		}
		got, err := copyContained(resource)
		require.NoError(t, err)
		require.Equal(t, text(), string(got.text))
		require.Equal(t, resourceID(resource), got.id)

		id := rapid.SampledFrom([]string{"other", `sub<m"itted`}).Draw(t, "id")
		want["id"], _ = json.Marshal(id)
		sum := got.sum
		got.rename(id)
		require.Equal(t, text(), string(got.text))
		require.Equal(t, id, got.id)
		require.Equal(t, sum, got.sum)
	})
	for _, damaged := range []string{``, `{"id":"a"`, `{"id":"a"}}`, "{\"id\":\"a\x00\"}"} {
		_, err := copyContained([]byte(damaged))
		require.Equal(t, models.KindInternal, models.KindOf(err), damaged)
	}
}

// The people of a Group are in the order of the request, however many slices are worked on at once.
func TestGroupsKeepOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.members(12)
	var asks []ask
	var want [2][]string
	for i := range 90 {
		n := i % 12
		if i%3 == 0 {
			n += 20 // nobody
		}
		a := theirs(n)
		id := fmt.Sprintf("person-%d", i)
		if i%5 > 0 { // otherwise one of several
			a.patient = strings.Replace(a.patient, fmt.Sprintf("their-%d", n), id, 1)
		} else {
			id = fmt.Sprintf("their-%d", n)
		}
		asks = append(asks, a)
		want[min(n/20, 1)] = append(want[min(n/20, 1)], "#"+id)
	}
	id, params := b.submit(2, asks)
	r := b.answer(id, params)
	for i, code := range []string{"match", "nomatch"} {
		var got []string
		for _, m := range r.groups[code].Member {
			got = append(got, m.Entity.Extension[0].ValueReference.Reference)
		}
		require.Equal(t, want[i], got)
		require.NotEqual(t, got, slices.Compact(slices.Sorted(slices.Values(got))))
	}
}

// A stored request that does not fit its outcomes is not published.
func TestPublishDamagedRequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sql  string
		text string
	}{
		"a slice that is longer":     {`UPDATE match_slices SET members = 3 - 2 * slice`, "members stored, 2 read"},
		"a slice that begins inside": {`UPDATE match_slices SET byte_offset = byte_offset + 30, byte_length = byte_length - 30 WHERE slice = 1`, "damaged"},
		"another outcome's index":    {`UPDATE match_outcomes SET idx = 9 WHERE idx = 2`, "not complete"},
		"no slices":                  {`DELETE FROM match_slices`, "not complete"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.members(1)
			id, _ := b.submit(2, []ask{theirs(0), theirs(1), theirs(2), theirs(3)})
			for i := range 2 {
				must[int64](t, b.MatchSlice, SliceInput{id, i})
			}
			b.exec(tc.sql)
			_, err := run(t, b.PublishMatch, id)
			require.ErrorContains(t, err, tc.text)
			require.NotContains(t, err.Error(), "Family")
			require.Empty(t, b.blobs("matches/"+id), "nothing is left")
			require.Empty(t, b.blobs("groups"))
		})
	}
}

func BenchmarkContainedCopy(b *testing.B) {
	resource := []byte(strings.Replace(person("their-1", 1), `"id"`, `"meta":{"versionId":"3","profile":["x"]},"id"`, 1))
	var text bytes.Buffer
	require.NoError(b, json.Compact(&text, resource))
	for b.Loop() {
		if _, err := copyContained(text.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
