package consent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"pdexbulk/models/fhir"
)

// drawn makes a consent that permits, but for what a few draws spoil.
func drawn(t *rapid.T) Consent {
	hours := func(label string) time.Duration {
		return time.Duration(rapid.IntRange(-12, 36).Draw(t, label)) * time.Hour
	}
	c := Consent{
		Status:   mostly(t, "status", "active", "inactive"),
		Patient:  &Party{Reference: mostly(t, "patient", rapid.SampledFrom([]string{"Patient/1", "Patient/9"}).Draw(t, "own"), "Patient/2", "Group/1")},
		Policies: []string{rapid.SampledFrom([]string{fhir.PolicyRegular, fhir.PolicySensitive}).Draw(t, "policy")},
		Type:     mostly(t, "type", "permit", "deny", ""),
		Start:    new(noon.Add(-hours("start"))),
		End:      new(noon.Add(hours("end"))),
		Given:    new(noon.Add(-hours("given"))),
		Disclose: true,
		Narrowed: mostly(t, "narrowed", false, true),
	}
	if more := mostly(t, "more", "", fhir.PolicyRegular, fhir.PolicySensitive, "x"); more != "" {
		c.Policies = append(c.Policies, more)
	}
	for _, actor := range []Actor{{Source: true, Party: Party{Identifiers: []string{us}}}, {Recipient: true, Party: Party{Identifiers: []string{them}}}} {
		if mostly(t, "there", true, false) {
			c.Actors = append(c.Actors, actor)
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "others") {
		source := rapid.Bool().Draw(t, "source")
		c.Actors = append(c.Actors, Actor{
			Source: source, Recipient: !source,
			Party: Party{Identifiers: rapid.SliceOfN(rapid.SampledFrom([]string{us, them, "x|y"}), 0, 2).Draw(t, "identifiers")},
		})
	}
	return c
}

// mostly draws the usual value, and about one time in sixteen another.
func mostly[T any](t *rapid.T, label string, usual T, others ...T) T {
	if rapid.IntRange(0, 15).Draw(t, label) != 9 {
		return usual
	}
	return rapid.SampledFrom(others).Draw(t, label+" spoilt")
}

func drawnInput(t *rapid.T) Input {
	in := usualInput()
	in.StoreMode = mostly(t, "mode", Tagged, Excluded, Untagged)
	in.SubmittedPatientID = "1"
	in.OtherPatientIDs = func(id string) bool { return id == "2" }
	return in
}

// TestAnyDenialWins spoils one thing of any consent: whatever the rest says, it denies.
func TestAnyDenialWins(t *testing.T) {
	t.Parallel()
	spoil := []func(*Consent, *Input){
		func(c *Consent, _ *Input) { c.Type = "deny" },
		func(c *Consent, _ *Input) { c.Status = "inactive" },
		func(c *Consent, _ *Input) { c.Policies = append(c.Policies, "http://example.org") },
		func(c *Consent, _ *Input) { c.Narrowed = true },
		func(c *Consent, _ *Input) { c.Actions, c.Disclose = true, false },
		func(c *Consent, _ *Input) { c.Patient = nil },
		func(_ *Consent, in *Input) { in.ForeignPatient = true },
		func(c *Consent, _ *Input) { c.Start = nil },
		func(c *Consent, in *Input) { c.End = &in.At },
		func(_ *Consent, in *Input) { in.Requester = []string{"a|b"} },
		func(_ *Consent, in *Input) { in.Holder = []string{"a|b"} },
		func(_ *Consent, in *Input) { in.MemberOverride = true },
		func(c *Consent, _ *Input) { c.OtherScope = true },
		func(c *Consent, _ *Input) { c.Unverified = true },
		func(c *Consent, in *Input) { in.RevokedAt = c.Given },
	}
	rapid.Check(t, func(t *rapid.T) {
		c, in := drawn(t), drawnInput(t)
		spoil[rapid.IntRange(0, len(spoil)-1).Draw(t, "spoil")](&c, &in)
		require.False(t, DecideP2P(c, in).Permit)
	})
}

func TestShorterPeriodNeverWidens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, in := drawn(t), drawnInput(t)
		before := DecideP2P(c, in)
		c.Start = new(c.Start.Add(time.Duration(rapid.IntRange(0, 48).Draw(t, "later")) * time.Hour))
		c.End = new(c.End.Add(-time.Duration(rapid.IntRange(0, 48).Draw(t, "sooner")) * time.Hour))
		after := DecideP2P(c, in)
		if !after.Permit {
			return
		}
		require.True(t, before.Permit)
		require.Equal(t, before.Policy, after.Policy)
		require.False(t, after.Start.Before(*before.Start))
		require.False(t, after.End.After(*before.End))
	})
}

func TestOverrideNeverPermits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, in := drawn(t), drawnInput(t)
		in.MemberOverride = true
		require.False(t, DecideP2P(c, in).Permit)
		policy := rapid.SampledFrom([]string{PolicyRegular, PolicySensitive, ""}).Draw(t, "policy")
		policy, _ = Recheck(Grant{Policy: policy, Start: c.Start, End: c.End}, Standing{Override: true}, in.StoreMode, in.At)
		require.Empty(t, policy)
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, in := drawn(t), drawnInput(t)
		other := c
		other.Actors = rapid.Permutation(c.Actors).Draw(t, "actors")
		other.Policies = rapid.Permutation(c.Policies).Draw(t, "policies")
		require.Equal(t, DecideP2P(c, in), DecideP2P(other, in))
	})
}

// TestRecheckAgrees looks at a decision again at another moment: it stands exactly while the consent would still permit.
func TestRecheckAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, in := drawn(t), drawnInput(t)
		got := DecideP2P(c, in)
		if !got.Permit {
			return
		}
		in.At = in.At.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "hours")) * time.Hour)
		_, reason := Recheck(got.Grant, Standing{}, in.StoreMode, in.At)
		require.Equal(t, DecideP2P(c, in).Permit, reason == ReasonPermitted)
	})
}

// TestNothingThatStandsWidens holds what may leave under something that was said since against what might without it.
func TestNothingThatStandsWidens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		grant := func(label string) Grant {
			hours := func(what string) *time.Time {
				return new(noon.Add(time.Duration(rapid.IntRange(-6, 6).Draw(t, label+what)) * time.Hour))
			}
			return Grant{Policy: rapid.SampledFrom([]string{PolicyRegular, PolicySensitive}).Draw(t, label), Start: hours(" start"), End: hours(" end")}
		}
		g, mode := grant("granted"), mostly(t, "mode", Tagged, Excluded, Untagged)
		before, _ := Recheck(g, Standing{}, mode, noon)
		said := Standing{Override: mostly(t, "override", false, true), Revoked: mostly(t, "revoked", false, true)}
		if rapid.Bool().Draw(t, "another") {
			said.Current = new(grant("another"))
		}
		after, reason := Recheck(g, said, mode, noon)
		require.Equal(t, reason == ReasonPermitted, after != "")
		require.LessOrEqual(t, after, before, "nothing, then the regular, then all")
		if said.Override || said.Revoked {
			require.Empty(t, after, "a denial wins")
		}
		if said.Current == nil {
			return
		}
		alone, _ := Recheck(*said.Current, Standing{}, mode, noon)
		require.LessOrEqual(t, after, alone)
		more := said
		more.Override = true
		none, _ := Recheck(g, more, mode, noon)
		require.Empty(t, none)
	})
}

// TestDrawnPermits proves that the properties above are about something.
func TestDrawnPermits(t *testing.T) {
	t.Parallel()
	permitted := 0
	rapid.Check(t, func(t *rapid.T) {
		if DecideP2P(drawn(t), drawnInput(t)).Permit {
			permitted++
		}
	})
	require.NotZero(t, permitted)
}
