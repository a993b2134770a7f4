-- What was imported before there were release classes has none that can be trusted. It is marked, and leaves only after it
-- was imported again (models.ClassUnruled). Tombstones tell types and ids only and stay.
UPDATE segments SET class = class | 256;
UPDATE segment_lines SET class = class | 256;
UPDATE segment_refs SET class = class | 256;
