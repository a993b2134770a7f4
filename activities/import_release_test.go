package activities

import (
	"strings"

	"github.com/stretchr/testify/require"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
)

// checkViews holds what stands for other lines against these: every view has its line, every line the views its class asks for,
// and each is what the rules make of it. current calls it whenever a test looks at the store.
func (b *bundle) checkViews(held map[string]stored, views []stored) {
	b.t.Helper()
	found := map[string]map[models.Class]stored{}
	for _, v := range views {
		typ := fhir.ResourceTypeOf([]byte(v.body))
		key := typ + "/" + v.line.ID
		if found[key] == nil {
			found[key] = map[models.Class]stored{}
		}
		_, twice := found[key][v.class]
		require.False(b.t, twice, "%s has a view twice", key)
		found[key][v.class] = v
	}
	var viewer release.Viewer
	var facts fhir.Facts
	for key, s := range held {
		require.NoError(b.t, fhir.Inspect([]byte(strings.TrimSuffix(s.body, "\n")), &facts))
		basis, financial := viewer.NonFinancial(nil, []byte(s.body), facts.Type, release.Flags(&facts))
		require.Equal(b.t, financial, s.class&models.ClassFull != 0, key)
		want := map[models.Class]string{}
		own := s.class &^ (models.ClassFull | models.ClassLinked)
		linked := s.class & models.ClassLinked
		if financial {
			want[own|linked|models.ClassBasis] = string(basis)
		}
		if linked != 0 {
			want[s.class&^models.ClassLinked|models.ClassMasked] = ""
			if financial {
				want[own|models.ClassBasis|models.ClassMasked] = ""
			}
		}
		require.Len(b.t, found[key], len(want), key)
		for class, body := range want {
			view, ok := found[key][class]
			require.True(b.t, ok, "%s has no view %b", key, class)
			require.Equal(b.t, s.member, view.member, key)
			require.Equal(b.t, [3]any{s.line.LastUpdated, s.line.ServiceStart, s.line.ServiceEnd}, [3]any{view.line.LastUpdated, view.line.ServiceStart, view.line.ServiceEnd}, key)
			if body != "" {
				require.Equal(b.t, body, view.body, key)
			}
		}
		delete(found, key)
	}
	require.Empty(b.t, found, "views without a line")
}
