-- The blocking keys are fewer and made in another way: the parts of every member have to be made again.
INSERT INTO member_stale SELECT id FROM members ON CONFLICT DO NOTHING;
