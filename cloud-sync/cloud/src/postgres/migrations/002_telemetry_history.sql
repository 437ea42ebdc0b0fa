-- What is left of telemetry when its day's partition goes: a quarter of an hour of one point in one compressed piece, and
-- an hour of it in one row of figures.
CREATE TABLE telemetry_chunk (
    property    text COLLATE "C" NOT NULL,
    gateway     text COLLATE "C" NOT NULL,
    device      text   NOT NULL,
    point       text   NOT NULL,
    from_micros bigint NOT NULL,            -- where the quarter begins, by the gateway's clock
    day         date   NOT NULL,            -- of receipt: late rows make a second piece of the same quarter
    samples     integer NOT NULL,
    data        bytea  NOT NULL,            -- zstd of lines: µs since from_micros, value as JSON, quality
    PRIMARY KEY (property, gateway, device, point, from_micros, day)
);

CREATE TABLE telemetry_hour (
    property    text COLLATE "C" NOT NULL,
    gateway     text COLLATE "C" NOT NULL,
    device      text   NOT NULL,
    point       text   NOT NULL,
    from_micros bigint NOT NULL,
    samples     bigint NOT NULL,            -- good ones with a number
    sum         double precision NOT NULL,
    least       double precision NOT NULL,
    most        double precision NOT NULL,
    PRIMARY KEY (property, gateway, device, point, from_micros)
);

-- Rows of lane 5 that are no values of points: kept as they were.
CREATE TABLE telemetry_other (
    property text COLLATE "C" NOT NULL,
    gateway  text COLLATE "C" NOT NULL,
    day      date   NOT NULL,
    rows     integer NOT NULL,
    data     bytea  NOT NULL,               -- zstd of JSON lines
    PRIMARY KEY (property, gateway, day)
);

-- How far the history of a day is: written with its pieces, so that a task that is killed goes on where it was.
CREATE TABLE telemetry_done (
    property text COLLATE "C" NOT NULL,
    gateway  text COLLATE "C" NOT NULL,
    day      date   NOT NULL,
    rows     bigint NOT NULL,
    bytes    bigint NOT NULL,               -- of the pieces
    PRIMARY KEY (property, gateway, day)
)
