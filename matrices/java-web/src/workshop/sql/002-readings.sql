CREATE TABLE device_reading (
  device VARCHAR(64) NOT NULL,
  taken_at BIGINT NOT NULL,
  amount DECIMAL(18, 6) NOT NULL,
  unit VARCHAR(16) NOT NULL,
  PRIMARY KEY (device, taken_at)
);
CREATE TABLE device_summary (
  device VARCHAR(64) NOT NULL PRIMARY KEY,
  readings INTEGER NOT NULL,
  lowest DECIMAL(18, 6) NOT NULL,
  highest DECIMAL(18, 6) NOT NULL,
  latest_at BIGINT NOT NULL
);
