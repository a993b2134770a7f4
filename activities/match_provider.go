package activities

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/consent"
	"pdexbulk/models/fhir"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

const (
	providerMatchGroup   = models.ProviderGroupProfile
	providerNoMatchGroup = pdex + "StructureDefinition/pdex-provider-member-no-match"
	optOutGroup          = pdex + "StructureDefinition/pdex-member-opt-out"
	providerOutProfile   = pdex + "StructureDefinition/provider-parameters-multi-member-match-bundle-out"
	optOutScopes         = pdex + "CodeSystem/opt-out-scope"
)

// judgeAttestations decides for each found member whether the provider who asks may have their data (PDex 2.2.0 Provider Access,
// BK-12). Whatever is found, the same is asked of the database and decided, for strangers of members who are none, so that a member
// who opted out takes no longer than a stranger.
func judgeAttestations(ctx context.Context, a *Activities, m matchRun, found []*submitted) error {
	people := slices.Concat(found, m.strangers)
	members := make([]uuid.UUID, len(people))
	attested := make([]consent.Attestation, len(people))
	unreadable := make([]bool, len(people))
	npis := m.params.NPIs()
	for i, p := range people {
		members[i] = models.MemberID("\x00" + p.patient) // nobody's
		if i < len(found) {
			members[i] = *p.outcome.Member
		}
		var err error
		attested[i], err = consent.ParseAttestation(p.consent)
		unreadable[i] = err != nil
		npis = append(npis, attested[i].Performers...)
	}
	npis = distinct(npis)
	directory, err := a.Store.Directory(ctx, npis)
	if err != nil {
		return err
	}
	optOuts, err := a.Store.OptOutsOf(ctx, members)
	if err != nil {
		return err
	}
	relationships, err := a.Store.RelationshipsOf(ctx, members, npis)
	if err != nil {
		return err
	}
	lines, err := a.linesOf(ctx, members)
	if err != nil {
		return err
	}
	for i, p := range people {
		belongs := lines[members[i]]
		d := consent.DecideProvider(consent.ProviderInput{
			At: m.at, Subject: m.params.NPI, Organizations: m.params.Organizations, Purposes: m.params.Purposes, Holder: a.Holder.IDs,
			Directory: directory, OptOuts: optOuts[members[i]], Relationships: relationships[members[i]], Line: consent.Strictest(belongs),
			Attestation: attested[i], Unreadable: unreadable[i], ForeignPatient: slices.Contains(m.params.Foreign, p.outcome.Idx),
			SubmittedNumbers: p.numbers,
		})
		if i >= len(found) {
			continue // their outcome stands
		}
		p.outcome.Outcome, p.outcome.Reason = string(d.Verdict), string(d.Reason)
		if d.Verdict == consent.Matched {
			// The row of the Group bounds what deletes are told and when files end, as a consent does.
			p.outcome.Policy, p.outcome.ConsentStart, p.outcome.ConsentEnd = consent.PolicyRegular, new(m.at), d.Terms.End
			if d.Terms.End == nil {
				p.outcome.ConsentEnd = new(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
			}
			p.outcome.Terms = &store.Terms{Named: d.Terms.Named, Vouched: d.Terms.Vouched, Purposes: d.Terms.Purposes, End: d.Terms.End}
			for _, line := range belongs {
				p.outcome.Terms.Lines = append(p.outcome.Terms.Lines, line.Code)
			}
		}
	}
	return nil
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// linesOf finds the lines of business of members by the Coverages that are held of them. Where no line selects any, nothing is
// read.
func (a *Activities) linesOf(ctx context.Context, members []uuid.UUID) (map[uuid.UUID][]models.LineOfBusiness, error) {
	all, err := a.Store.Lines(ctx)
	if err != nil {
		return nil, err
	}
	coverages := map[uuid.UUID][][]byte{}
	if slices.ContainsFunc(all, func(l models.LineOfBusiness) bool { return len(l.Selectors) > 0 }) {
		err := a.Store.InSnapshot(ctx, a.now(), func(view *store.Snapshot) error {
			return view.Segments(store.Chunk{}, orNobody(members), []int16{fhir.TypeCoverage}, store.Window{}, func(row *store.Row) error {
				raw, err := inflated(row)
				for line := range bytes.Lines(raw) {
					coverages[row.Member] = append(coverages[row.Member], line)
				}
				return err
			})
		})
		if err != nil {
			return nil, err
		}
	}
	out := make(map[uuid.UUID][]models.LineOfBusiness, len(members))
	for _, m := range members {
		out[m] = consent.LinesOf(coverages[m], all)
	}
	return out, nil
}

// orNobody keeps a list of members from meaning everybody when it is empty.
func orNobody(members []uuid.UUID) []uuid.UUID {
	if members == nil {
		return []uuid.UUID{}
	}
	return members
}

// inflated returns the lines of a whole segment.
func inflated(row *store.Row) ([]byte, error) {
	return segment.InflateSum(nil, row.Data, segment.Sum{Lines: row.Lines, RawLen: row.RawLen, CRC: row.CRC, PackedLen: int64(len(row.Data))})
}

// heedPayers has members who opted out of sharing with the payer who asks constrained, whatever they consented to elsewhere.
func heedPayers(judge func(context.Context, *Activities, matchRun, []*submitted) error) func(context.Context, *Activities, matchRun, []*submitted) error {
	return func(ctx context.Context, a *Activities, m matchRun, found []*submitted) error {
		if err := judge(ctx, a, m, found); err != nil {
			return err
		}
		members := make([]uuid.UUID, len(found))
		for i, p := range found {
			members[i] = *p.outcome.Member
		}
		optOuts, err := a.Store.OptOutsOf(ctx, members)
		if err != nil {
			return err
		}
		for i, p := range found {
			if out, reason := consent.PayerOptedOut(optOuts[members[i]], m.params.Organizations, m.at); out {
				grant(&p.outcome, consent.Decision{Reason: reason})
				p.outcome.Policy, p.outcome.ConsentStart, p.outcome.ConsentEnd = "", nil, nil
			}
		}
		return nil
	}
}
