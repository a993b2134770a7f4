package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// tellIgnored writes the error file of a manifest that says which parameters were ignored, how many resources were too old
// to be handed over, and that those of no patient have no place in it, one OperationOutcome each (Bulk Data Access 2.0.0, manifest "error"). It returns no file when there is
// nothing to tell. number is the file's place in the manifest.
func (a *Activities) tellIgnored(ctx context.Context, job *models.Job, p models.ExportParams, tooOld int64, number int) ([]models.JobFile, error) {
	var outcomes []fhir.OperationOutcome
	for _, name := range p.Ignored {
		outcomes = append(outcomes, ignoredOutcome(name))
	}
	if tooOld > 0 {
		outcomes = append(outcomes, tooOldOutcome(tooOld))
	}
	if p.OrganizeBy != "" && (len(p.Types) == 0 || slices.ContainsFunc(p.Types, fhir.Shareable)) {
		outcomes = append(outcomes, fhir.Outcome(fhir.NewIssue(fhir.SeverityInformation, fhir.IssueInformational,
			"resources that belong to no patient, such as Practitioners, are left out of output that is organized by Patient")))
	}
	var lines [][]byte
	for _, o := range outcomes {
		line, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("write outcome: %w", err)
		}
		lines = append(lines, append(line, '\n'))
	}
	return a.smallFile(ctx, models.JobFile{JobID: job.ID, File: number, Kind: "error", Type: "OperationOutcome"}, lines)
}

// patientPlace is how the place of an ignored patient reference begins; other ignored things are told by parameter name.
const patientPlace = "Parameters.parameter["

// ignoredOutcome tells of one parameter. It is a warning: some clients take an error here for the failure of the export.
func ignoredOutcome(name string) fhir.OperationOutcome {
	if strings.HasPrefix(name, patientPlace) {
		return fhir.Outcome(fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotFound, "a reference that names no patient of this export was ignored", name))
	}
	switch name {
	case "":
		return fhir.Outcome(fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotSupported, "parameters are not supported and were ignored"))
	case "_type":
		return fhir.Outcome(fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotSupported, "types that are not exported here were ignored", name))
	}
	return fhir.Outcome(fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotSupported, "the parameter "+name+" is not supported and was ignored", name))
}

// tooOldOutcome tells that the holder's look-back cut something off (decision D-01). It is no error.
func tooOldOutcome(resources int64) fhir.OperationOutcome {
	return fhir.Outcome(fhir.NewIssue(fhir.SeverityInformation, fhir.IssueInformational,
		fmt.Sprintf("%d resources were left out because their date of service lies before what this exchange reaches back to", resources)))
}
