package models

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanonicalTarget(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		scope        OptOutScope
		target, want string // "" is refused, but for the global scope
	}{
		{OptOutGlobal, "", ""},
		{OptOutProvider, "1234567893", "1234567893"},
		{OptOutProvider, "http://hl7.org/fhir/sid/us-npi|1234567893", "1234567893"},
		{OptOutProvider, " urn:oid:2.16.840.1.113883.4.6#1234567893 ", "1234567893"},
		{OptOutProvider, "1234567890", ""},
		{OptOutProvider, "urn:oid:2.16.840.1.113883.4.4|12-3456789", "urn:oid:2.16.840.1.113883.4.4|12-3456789"},
		{OptOutProvider, "|1", ""},
		{OptOutProvider, "", ""},
		{OptOutPayer, "urn:oid:2.16.840.1.113883.4.6|0123456789", "http://hl7.org/fhir/sid/us-npi|0123456789"},
		{OptOutPayer, "Some payer", ""},
		{OptOutPurpose, "treat", "TREAT"},
		{OptOutPurpose, "urn:oid:2.16.840.1.113883.5.8#ETREAT", "ETREAT"},
		{OptOutPurpose, "FUN", ""},
		{OptOutCategory, "207r00000x", "207R00000X"},
		{OptOutCategory, "2084", "2084"},
		{OptOutCategory, "20", ""},
		{"total", "x", ""},
	} {
		got, err := CanonicalTarget(tc.scope, tc.target)
		require.Equal(t, tc.want, got, "%s %s", tc.scope, tc.target)
		if tc.want == "" && tc.scope != OptOutGlobal {
			require.Equal(t, KindUnprocessable, KindOf(err))
			continue
		}
		require.NoError(t, err)
		again, err := CanonicalTarget(tc.scope, got)
		require.NoError(t, err)
		require.Equal(t, got, again, "it is a normal form")
	}
	_, err := CanonicalTarget(OptOutGlobal, "1234567893")
	require.Equal(t, KindUnprocessable, KindOf(err))
}

func TestPurposes(t *testing.T) {
	t.Parallel()
	for code, above := range purposes {
		require.True(t, PurposeWithin(code, code))
		if above != "" {
			require.True(t, ValidPurpose(above), code)
			require.True(t, PurposeWithin(code, above))
			require.False(t, PurposeWithin(above, code))
		}
	}
	require.True(t, PurposeWithin("BTG", "TREAT"))
	require.True(t, PurposeWithin("CLINTRL", "TREAT"))
	require.True(t, PurposeWithin("LABELING", "HSYSADMIN"))
	require.False(t, PurposeWithin("MILDCRG", "ENROLLM"))
	require.False(t, PurposeWithin("WHATEVER", "TREAT"))
	require.False(t, PurposeWithin("", ""))
}
