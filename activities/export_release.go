package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/release"
	"pdexbulk/models/segment"
	"pdexbulk/models/store"
)

// payerToPayer is how the export type of an exchange between payers ends (PDex 2.2.0).
const payerToPayer = "#payertopayer"

// terms are what an export is subject to, the same for all of its members.
type terms struct {
	financial bool
	auths     bool // prior authorizations leave while they are in force or news
	drugs     bool
	window    release.Window
}

// terms settles under which rules a job's data leave. Where nobody knows who asks, the narrowest hold. A Group that was made for a payer
// stays a payer's, whatever its client is registered as by now.
func (a *Activities) terms(ctx context.Context, job *models.Job, p models.ExportParams) (terms, error) {
	client, err := a.Store.Client(ctx, job.ClientID)
	if models.KindOf(err) == models.KindNotFound {
		client, err = models.Client{Kind: models.ClientPayer}, nil
	}
	if err != nil {
		return terms{}, err
	}
	payer := client.Kind == models.ClientPayer || strings.HasSuffix(p.ExportType, payerToPayer)
	if p.GroupID != "" {
		g, err := a.Store.AnyGroup(ctx, p.GroupID)
		if err != nil {
			return terms{}, err
		}
		payer = payer || g.Profile == models.MatchGroupProfile
	}
	t := terms{financial: client.ValueBased && !payer, drugs: true, window: release.Window{Day: fhir.MinDay, From: p.ServiceFrom}}
	if p.GroupID != "" {
		// What is said of prior authorizations is said of the exchanges with payers and providers, which are of Groups.
		t.auths, t.drugs, t.window.Day = true, a.Release.DrugAuths, fhir.DayOf(job.CreatedAt)
	}
	switch {
	case payer && a.Release.PayerYears > 0:
		t.reach(release.YearsBefore(job.CreatedAt, a.Release.PayerYears))
	case client.Kind == models.ClientProvider && a.Release.ProviderFrom != nil:
		t.reach(*a.Release.ProviderFrom)
	}
	return t, nil
}

// reach bounds how far back the export goes.
func (t *terms) reach(day fhir.Day) {
	if t.window.From == nil || *t.window.From < day {
		t.window.From = &day
	}
}

// audience is what the client may see of a member's data; who is nil for what belongs to no member.
func (t *terms) audience(who *access) release.Audience {
	return release.Audience{Financial: t.financial, Drugs: t.drugs, Sensitive: who == nil || who.without&models.ClassSensitive == 0}
}

// fate says what becomes of a segment of a member's. Of a member of whom nothing leaves each resource is still counted once.
func (t *terms) fate(c models.Class, who *access) release.Fate {
	fate := t.audience(who).Fate(c)
	if who != nil && who.closed() && fate == release.Leave {
		return release.Withhold
	}
	return fate
}

// segments returns the window on segments that these terms and the request make together.
func (t *terms) segments(p models.ExportParams) store.Window {
	w := store.Window{Since: p.Since, Until: p.Until, ServiceFrom: t.window.From, Skip: models.ClassFull}
	if t.auths {
		w.Day = &t.window.Day
	}
	if t.financial {
		w.Skip = models.ClassBasis
	}
	return w
}

// leaves reports whether a line is not too old.
func (t *terms) leaves(c models.Class, l segment.Line) bool {
	return t.window.Leaves(c, l.ServiceStart, l.ServiceEnd, l.ServiceEnd != segment.NoDate)
}

// tooOld counts lines that are kept back for their age. Prior authorisations are not old but over.
func (e *chunkExport) tooOld(c models.Class, lines int64) {
	e.acc.WithheldResources += lines
	if c&models.ClassPriorAuth == 0 {
		e.acc.TooOld += lines
	}
}

// transmits reports whether an export takes along who transmitted it: PDex asks for that in every exchange, unless the types
// that were asked for leave it out (decision D-12).
func transmits(p models.ExportParams) bool {
	return len(p.Types) == 0 || slices.Contains(p.Types, fhir.TypeProvenance)
}

// transmission is the line that names this payer as the transmitter of the export.
func (e *chunkExport) transmission() ([]byte, error) {
	h := release.Transmission{
		ID: e.job.ID, Recorded: *e.job.TransactionTime, GroupID: e.params.GroupID, Name: e.a.Holder.Name, Identifiers: e.a.Holder.IDs,
	}
	line, err := json.Marshal(h.Provenance())
	if err != nil {
		return nil, fmt.Errorf("write the provenance: %w", err)
	}
	return append(line, '\n'), nil
}

// transmit adds the Provenance that names this payer as the transmitter of the export. It is the same in every attempt. Like
// what supports other resources it is not planned, but counted.
func (e *chunkExport) transmit() error {
	line, err := e.transmission()
	if err != nil {
		return err
	}
	b := e.buffer(fhir.TypeProvenance)
	data, sum, err := e.packer.Pack(b.data, line)
	if err != nil {
		return err
	}
	b.data, b.sum = data, b.sum.Add(sum)
	e.held += sum.PackedLen
	e.acc.Planned++
	e.acc.Written++
	return nil
}
