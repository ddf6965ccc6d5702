-- The places of rows that change in further, narrower lists.

CREATE TABLE places (
    generation bigint NOT NULL,
    key uuid NOT NULL,
    parent text NOT NULL,
    sort text COLLATE "C" NOT NULL, -- by code points
    PRIMARY KEY (generation, key, parent),
    FOREIGN KEY (generation, key) REFERENCES documents ON DELETE CASCADE
);
CREATE INDEX places_by_place ON places (generation, parent, sort, key);
