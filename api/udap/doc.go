// Package udap knows who a trust community vouches for: it reads trust anchors, checks certificate chains against them, reads
// software statements and hl7-b2b authorization objects, and signs the server's own metadata (HL7 UDAP Security 1.1.0;
// udap.org, UDAP profiles STU 1).
//
// It decides by files that the operator keeps and by the instant it is given; it stores nothing and asks nobody. Revocation is
// by lists of the operator's: where a list of an issuer is there, a certificate on it is refused, and so is every certificate
// of the issuer once the list is past its next update. Lists and OCSP answers are not fetched.
//
// What a client may do is not decided here: a certificate says who it is, an administrator what it may have.
package udap
