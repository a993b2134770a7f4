package activities

import (
	"github.com/google/uuid"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/store"
)

// readBinaries finds the Binaries that are the members' own, for the Attachments of their lines.
func (e *chunkExport) readBinaries(view *store.Snapshot, roster map[uuid.UUID]*access) error {
	members := make([]uuid.UUID, 0, len(roster))
	for id, who := range roster {
		if !who.closed() {
			members = append(members, id)
		}
	}
	if len(members) == 0 {
		return nil
	}
	all, err := view.Attachments(members)
	if err != nil {
		return err
	}
	e.binaries, e.sent = make(map[string]store.Owned, len(all)), map[string]uuid.UUID{}
	for _, b := range all {
		e.binaries[b.Binary] = b
	}
	return nil
}

// link returns a line with absolute urls in the Attachments that name a Binary: where the api serves it to the owner of the
// job when it is the member's own and may leave, else where a relative url pointed to, which leads to nothing. What is
// linked is noted for the api.
func (e *chunkExport) link(line []byte, row *store.Row, who *access) []byte {
	found := fhir.Attachments(line)
	return fhir.ReplaceAttachments(nil, line, found, func(a fhir.Attached) (url, contentType string) {
		b, ok := e.binaries[a.Binary]
		if ok && b.Member == row.Member && who != nil && b.Class&e.terms.audience(who).Without() == 0 {
			e.sent[b.Binary] = b.Member
			return models.AttachmentURL(e.params.Base, e.job.ID, b.Binary), b.ContentType
		}
		if a.Relative {
			return e.params.Base + "/Binary/" + a.Binary, ""
		}
		return "", ""
	})
}
