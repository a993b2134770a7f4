package auth

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models"
)

func TestParseScopes(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"v2", "system/Patient.rs", "system/Patient.rs"},
		{"v2 wildcard", "system/*.cruds", "system/*.cruds"},
		{"v2 single letters", "system/Patient.r system/Coverage.s", "system/Patient.r system/Coverage.s"},
		{"v1", "system/*.read system/Patient.*", "system/*.read system/Patient.*"},
		{"v1 write", "system/*.write", "system/*.write"},
		{"v1 write of what is not written", "system/Patient.write", ""},
		{"update of Groups", "system/Group.u system/Group.write", "system/Group.u system/Group.write"},
		{"update of others", "system/Patient.u system/*.u", ""},
		{"member-add", atr + "member-add", atr + "member-add"},
		{"member-remove", atr + "member-remove", atr + "member-remove"},
		{"another operation of ATR", atr + "confirm-attribution-list", ""},
		{"writes only", "system/Patient.cud", ""},
		{"out of order", "system/Patient.sr", ""},
		{"letter twice", "system/Patient.rr", ""},
		{"unknown letter", "system/Patient.rx", ""},
		{"no action", "system/Patient.", ""},
		{"no dot", "system/Patient", ""},
		{"no type", "system/.rs", ""},
		{"half a wildcard", "system/Pat*.rs", ""},
		{"lower case type", "system/patient.rs", ""},
		{"lower case wildcard word", "system/all.rs", ""},
		{"mixed spellings", "system/Patient.readrs", ""},
		{"upper case context", "System/Patient.rs", ""},
		{"other contexts", "patient/*.rs user/*.rs launch/patient openid", ""},
		{"query", "system/Observation.rs?category=laboratory", ""},
		{"empty query", "system/Observation.rs?", "system/Observation.rs"},
		{"duplicates", "system/Patient.rs system/Patient.rs system/Patient.rs?", "system/Patient.rs"},
		{"spaces", "  system/Patient.rs   system/Group.rs ", "system/Patient.rs system/Group.rs"},
		{"tabs are not spaces", "system/Patient.rs\tsystem/Group.rs", ""},
		{"empty", "", ""},
		{"bulk match, canonical", pdex + "OperationDefinition/BulkMemberMatch", pdex + "OperationDefinition/BulkMemberMatch"},
		{"bulk match, older", pdex + "OperationDefinition/bulk-member-match", pdex + "OperationDefinition/bulk-member-match"},
		{"provider match, canonical", pdex + "OperationDefinition/ProviderMemberMatch", pdex + "OperationDefinition/ProviderMemberMatch"},
		{"provider match, older", pdex + "OperationDefinition/provider-member-match", pdex + "OperationDefinition/provider-member-match"},
		{"Group scope as printed", "system.Group.u?code=http://hl7.org/fhir/us/davinci-pdex/ValueSet/PDexMultiMemberMatchResultVS|match", groupTag + "match"},
		{"Group scope for providers", "system.Group.u?code=http://hl7.org/fhir/us/davinci-pdex/ValueSet/PDexMultiMemberMatchResultVS|pdexprovidergroup", groupTag + "pdexprovidergroup"},
		{"other Group scope", groupTag + "nomatch", ""},
		{"operation with a slash", pdex + "OperationDefinition/BulkMemberMatch/", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, ParseScopes(tt.in).String())
		})
	}
}

var servedTypes = map[string]bool{"Patient": true, "Coverage": true, "Group": true}

func TestScopesWithin(t *testing.T) {
	t.Parallel()
	op := pdex + "OperationDefinition/"
	tests := []struct{ name, asked, registered, want string }{
		{"equal", "system/Patient.rs", "system/Patient.rs", "system/Patient.rs"},
		{"type within wildcard", "system/Patient.rs", "system/*.rs", "system/Patient.rs"},
		{"wildcard narrowed to types", "system/*.rs", "system/Patient.rs system/Coverage.rs", "system/Patient.rs system/Coverage.rs"},
		{"v1 wildcard narrowed", "system/*.read", "system/Patient.rs", "system/Patient.read"},
		{"v1 narrowed below read", "system/*.read", "system/Patient.r", "system/Patient.r"},
		{"v1 all", "system/*.*", "system/*.*", "system/*.read"},
		{"writes drop off", "system/Patient.cruds", "system/*.cruds", "system/Patient.rs"},
		{"update within a v1 wildcard", "system/Group.u", "system/*.write", "system/Group.u"},
		{"v1 wildcard of writes", "system/*.write", "system/*.read system/*.write", "system/*.write"},
		{"v1 writes narrowed to Groups", "system/*.write", "system/Group.rus", "system/Group.write"},
		{"reading does not update", "system/Group.rus", "system/*.rs", "system/Group.rs"},
		{"no writes of what only reads", "system/*.write", "system/*.rs", ""},
		{"rights narrowed", "system/Patient.rs", "system/Patient.s", "system/Patient.s"},
		{"rights of two registrations", "system/Patient.rs", "system/Patient.r system/*.s", "system/Patient.rs"},
		{"no common right", "system/Patient.r", "system/Patient.s", ""},
		{"other type", "system/Patient.rs", "system/Coverage.rs", ""},
		{"not served", "system/Binary.rs", "system/*.rs", ""},
		{"registered but not served", "system/*.rs", "system/Binary.rs system/Patient.rs", "system/Patient.rs"},
		{"wildcard swallows types", "system/*.rs", "system/*.rs system/Patient.rs", "system/*.rs"},
		{"wildcard of less does not", "system/*.rs", "system/*.s system/Patient.rs", "system/*.s system/Patient.rs"},
		{"operation by another spelling", op + "bulk-member-match", op + "BulkMemberMatch", op + "bulk-member-match"},
		{"operation by the Group scope", groupTag + "match", op + "BulkMemberMatch", groupTag + "match"},
		{"the other operation", op + "ProviderMemberMatch", op + "BulkMemberMatch", ""},
		{"operation is not in the wildcard", op + "BulkMemberMatch", "system/*.cruds", ""},
		{"wildcard is not in the operation", "system/*.rs", op + "BulkMemberMatch", ""},
		{"nothing registered", "system/*.rs", "", ""},
		{"query registered", "system/Patient.rs", "system/Patient.rs?_id=1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, ParseScopes(tt.asked).Within(ParseScopes(tt.registered), servedTypes).String())
		})
	}
}

func TestMayRead(t *testing.T) {
	t.Parallel()
	caller := func(scopes string) *Caller { return &Caller{Scopes: ParseScopes(scopes)} }
	require.True(t, caller("system/*.rs").MayReadAll())
	require.True(t, caller("system/*.read").MayReadAll())
	require.True(t, caller("system/*.r system/*.s").MayReadAll())
	require.True(t, caller("system/*.rs").MayRead("Patient"))
	require.False(t, caller("system/Patient.rs").MayReadAll())
	require.True(t, caller("system/Patient.rs").MayRead("Patient"))
	require.False(t, caller("system/Patient.rs").MayRead("Coverage"))
	require.False(t, caller("system/Patient.r").MayRead("Patient"), "an export is a search too")
	require.False(t, caller("system/Patient.s").MayRead("Patient"))
	require.True(t, caller("system/Patient.r").MayGet("Patient"))
	require.False(t, caller("system/Patient.r").MaySearch("Patient"))
	require.True(t, caller("system/Patient.r system/*.s").MayRead("Patient"))
	require.False(t, caller("").MayRead("Patient"))
	require.False(t, caller("").MayRead(""))
	require.False(t, caller(pdex+"OperationDefinition/BulkMemberMatch").MayGet("Group"))
}

func TestMayOperate(t *testing.T) {
	t.Parallel()
	bulk, provider := models.OpBulkMemberMatch, opProviderMemberMatch
	tests := []struct {
		name   string
		kind   models.ClientKind
		scopes string
		want   []models.Operation
	}{
		{"bulk, canonical", models.ClientPayer, pdex + "OperationDefinition/BulkMemberMatch", []models.Operation{bulk}},
		{"bulk, older", models.ClientPayer, pdex + "OperationDefinition/bulk-member-match", []models.Operation{bulk}},
		{"bulk, Group scope", models.ClientPayer, groupTag + "match", []models.Operation{bulk}},
		{"provider, canonical", models.ClientProvider, pdex + "OperationDefinition/ProviderMemberMatch", []models.Operation{provider}},
		{"provider, older", models.ClientProvider, pdex + "OperationDefinition/provider-member-match", []models.Operation{provider}},
		{"provider, Group scope", models.ClientProvider, groupTag + "pdexprovidergroup", []models.Operation{provider}},
		{"scope beats kind", models.ClientBackend, pdex + "OperationDefinition/BulkMemberMatch", []models.Operation{bulk}},
		{"all types alone", models.ClientPayer, "system/*.rs", nil},
		{"Group alone", models.ClientPayer, "system/Group.rs", nil},
		{"all types and Group, payer", models.ClientPayer, "system/*.rs system/Group.rs", []models.Operation{bulk}},
		{"all types and Group, provider", models.ClientProvider, "system/*.read system/Group.read", []models.Operation{provider}},
		{"all types and Group, backend", models.ClientBackend, "system/*.rs system/Group.rs", nil},
		{"nothing", models.ClientPayer, "", nil},
		{"update of Groups matches nobody", models.ClientProvider, "system/*.rs system/Group.u", nil},
		{"attribution lists match nobody", models.ClientProvider, atr + "member-add " + atr + "member-remove", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &Caller{Kind: tt.kind, Scopes: ParseScopes(tt.scopes)}
			for _, op := range []models.Operation{bulk, provider, models.OpDataExport, models.OpSystemExport, ""} {
				require.Equal(t, slices.Contains(tt.want, op), c.MayOperate(op), op)
			}
		})
	}
}

func TestMayReconcile(t *testing.T) {
	t.Parallel()
	for scopes, want := range map[string][2]bool{ // add, remove
		atr + "member-add":                       {true, false},
		atr + "member-remove":                    {false, true},
		"system/Group.u":                         {true, true},
		"system/Group.write":                     {true, true},
		"system/*.write":                         {true, true},
		"system/*.rs system/Group.rs":            {false, false},
		"system/*.cruds":                         {false, false},
		groupTag + "pdexprovidergroup":           {false, false},
		pdex + "OperationDefinition/MemberAdd":   {false, false},
		"system/Group.u?code=x system/Group.crs": {false, false},
	} {
		c := &Caller{Kind: models.ClientProvider, Scopes: ParseScopes(scopes)}
		require.Equal(t, want, [2]bool{c.MayReconcile(models.OpMemberAdd), c.MayReconcile(models.OpMemberRemove)}, scopes)
	}
}

func TestCheckScopes(t *testing.T) {
	t.Parallel()
	require.NoError(t, CheckScopes([]string{"system/*.rs", "system/Patient.cruds", groupTag + "match"}))
	require.NoError(t, CheckScopes(nil))
	for _, bad := range []string{"", "openid", "system/Patient.write", "system/Patient.rs?_id=1", "system/Patient.rs system/Group.rs"} {
		require.Equal(t, models.KindInvalid, models.KindOf(CheckScopes([]string{bad})), bad)
	}
}

// Whatever is asked and registered: a grant never exceeds either, and stays the same when granted again.
func TestWithinNeverWidens(t *testing.T) {
	t.Parallel()
	one := rapid.SampledFrom([]string{
		"system/*.rs", "system/*.read", "system/*.*", "system/*.s", "system/*.cud", "system/Patient.rs", "system/Patient.r",
		"system/Patient.cruds", "system/Coverage.s", "system/Coverage.read", "system/Binary.rs", "system/Group.write", "system/Group.rus", "system/*.write",
		"system/Patient.rs?x=y", "openid", pdex + "OperationDefinition/BulkMemberMatch", groupTag + "match",
	})
	list := rapid.Map(rapid.SliceOfN(one, 0, 6), func(s []string) Scopes { return ParseScopes(strings.Join(s, " ")) })
	rapid.Check(t, func(t *rapid.T) {
		asked, registered := list.Draw(t, "asked"), list.Draw(t, "registered")
		granted := asked.Within(registered, servedTypes)
		for _, resource := range []string{"*", "Patient", "Coverage", "Group", "Binary", "Observation"} {
			for _, want := range []access{canRead, canSearch, canUpdate} {
				allowed := asked.mayOn(resource, want) && registered.mayOn(resource, want)
				if granted.mayOn(resource, want) && !allowed {
					t.Fatalf("%s grants %d on %s", granted, want, resource)
				}
				if allowed && (resource == "*" || servedTypes[resource]) && !granted.mayOn(resource, want) {
					t.Fatalf("%s lacks %d on %s", granted, want, resource)
				}
			}
		}
		if granted.hasOperation(models.OpBulkMemberMatch) != (asked.hasOperation(models.OpBulkMemberMatch) && registered.hasOperation(models.OpBulkMemberMatch)) {
			t.Fatalf("%s: operation", granted)
		}
		if again := granted.Within(registered, servedTypes); again.String() != granted.String() {
			t.Fatalf("%s granted again is %s", granted, again)
		}
		if back := ParseScopes(granted.String()); back.String() != granted.String() {
			t.Fatalf("%s reads back as %s", granted, back)
		}
	})
}

func FuzzParseScopes(f *testing.F) {
	for _, seed := range []string{
		"system/*.rs", "system/Patient.read system/Group.*", "system/Observation.rs?category=x&y=z", "system/.rs", "?", "system/*.?",
		pdex + "OperationDefinition/BulkMemberMatch", groupTag + "match", "system/*.cruds? system/*.cruds", "\x00 \xff",
	} {
		f.Add(seed)
	}
	all := ParseScopes("system/*.cruds " + groupTag + "match " + groupTag + "pdexprovidergroup")
	f.Fuzz(func(t *testing.T, text string) {
		parsed := ParseScopes(text)
		require.Equal(t, parsed.String(), ParseScopes(parsed.String()).String(), "reads back as itself")
		granted := parsed.Within(all, servedTypes)
		for _, sc := range granted.list {
			require.True(t, sc.operation != "" || sc.access != 0)
			require.NotContains(t, sc.text, "write")
			require.True(t, sc.operation != "" || sc.resource == "*" || servedTypes[sc.resource])
		}
	})
}
