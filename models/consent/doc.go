// Package consent decides whether the consent that came with a member lets their data go to the payer who asks. It is the
// second and third step of the PDex payer-to-payer decision tree, for one member at a time; the first, who the member is, is
// models/match.
//
// Read reads what an HRex Consent (https://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html) says, DecideP2P
// judges it against who asks, who holds the data and what time it is, and Recheck judges again what was decided, when the
// data are about to leave. Every test can only deny: there is no order in which one of them outweighs another, and whatever
// is missing, unreadable or not understood denies.
//
// The rules, by requirement:
//
//	CF-01, CF-07, CF-08  #sensitive is complied with; #regular only where the store leaves sensitive data out or tags it.
//	CF-02                each member is judged alone; nothing here sees two.
//	CF-03                a denial is an outcome, not an error: the member is constrained. (CF-10, more than one member, and
//	                     no member at all are decided by models/match before a consent is looked at.)
//	CF-04                a Reason is for the holder's operators. It must not reach the requester.
//	CF-05                status active, about this person, the period covers now, type permit, action disclose.
//	CF-05a               the requester is among the recipients (IRCP) and the holder among the sources (performer).
//	CF-06                every policy is the same one of the two HRex URIs. A further policy might restrict, so it denies.
//	CF-09                Decision.Policy tells the export whether to leave sensitive data out.
//	CF-11, RC-01         Recheck, when the data leave.
//	RC-03                what the member told the holder directly overrides whatever was submitted.
//	CF-11                a consent that was taken back is void, and so is every other one that was given before.
//	EX-05                Decision.Start and End bound the member's access. HRex wants both, so a period open at either end
//	                     denies. A date without a time counts in UTC, to its last moment.
//	D-05                 content that makes no sense denies this member, not the request.
//	D-06                 Consent.patient may fail to resolve; it may not be another patient of the request, nor have another
//	                     number than the patient where both have one of the same system.
//
// Restrictions that HRex forbids in a provision (code, class, data, nested provisions, ...) deny: to overlook them would
// give away more than was agreed to, and no export here is cut to fit them.
//
// A consent of another scope than privacy denies, and one whose verification was begun and not brought to an end.
//
// An actor names an organisation by identifier, or by a reference to an Organization contained in the Consent that has one.
// Any other literal reference points into a server that is not asked, so it names the caller only if it equals, letter by
// letter, a reference registered for the caller.
//
// Provider access needs no consent (CF-13) and is not decided here. The package does not validate profiles, does not verify
// signatures, and reads no clock.
package consent
