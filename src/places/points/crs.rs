//! The reference system that GeoJSON of before 2016 names: degrees that are those of RFC 7946, or something else. In
//! each the longitude comes first, as the programs write it that name EPSG:4326. `geojson` asks for it.

use serde_json::value::RawValue;

use super::json::{Object, text, word};

/// EPSG's codes for degrees that differ by no more than two metres: WGS 84 (4326, 4979), ETRS89 (4258, 4937), NAD83 and
/// its newer forms, SIRGAS 2000 (4674), GDA94, GDA2020, NZGD2000, JGD2000 and JGD2011, RGF93, SWEREF99, CGCS2000,
/// Hartebeesthoek94, CHTRF95, IGM95, DGN95, POSGAR and MAGNA-SIRGAS.
const DEGREES: [u32; 28] = [
    4326, 4979, 4258, 4937, 4269, 4617, 4759, 4152, 6318, 4674, 4283, 7844, 4167, 4612, 6668, 4171, 4619,
    4490, 4148, 4151, 4670, 4755, 4190, 4694, 5340, 4686, 4737, 4661,
];

/// What systems of degrees are called where they have no number.
const NAMES: [&str; 6] = ["CRS84", "CRS84H", "CRS83", "WGS84", "GCSWGS1984", "ETRS89"];

/// The system's name, where it is none of degrees.
pub fn foreign(crs: &RawValue) -> Option<String> {
    let name = name_of(crs)?;
    // The last number of `urn:ogc:def:crs:EPSG:6.9:4326`, of `EPSG:4326` and of a link.
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let last = name.trim_end_matches(|c: char| !is_word(c)).rsplit(|c: char| !is_word(c)).next();
    let code = last.and_then(|word| word.parse().ok());
    let plain: String = name.chars().filter(|c| is_word(*c)).collect::<String>().to_ascii_uppercase();
    let is_degrees = NAMES.iter().any(|known| plain.ends_with(known));
    let is_degrees = is_degrees || code.is_some_and(|code: u32| DEGREES.contains(&code));
    (!is_degrees).then(|| name.chars().take(60).collect())
}

/// `"EPSG:4326"`, or the name, the code or the link of `{"properties":{…}}`.
fn name_of(crs: &RawValue) -> Option<String> {
    if let Some(name) = word(crs) {
        return Some(name);
    }
    let crs: Object<'_> = serde_json::from_str(crs.get()).ok()?;
    let Some(properties) = crs.get("properties") else {
        return crs.get("name").or(crs.get("code")).and_then(word);
    };
    let properties: Object<'_> = serde_json::from_str(properties.get()).ok()?;
    let said = |key: &str| properties.get(key).and_then(word);
    let kind = crs.get("type").and_then(text).filter(|kind| kind != "name");
    let code = || Some(format!("{}:{}", kind.as_deref().unwrap_or("EPSG"), said("code")?));
    let link = || {
        // Behind the number stands the form of what it leads to.
        let link = said("href")?;
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let number = link.rsplit(['/', '#', ':']).find(is_number);
        Some(number.map_or(link.clone(), |number| format!("EPSG:{number}")))
    };
    said("name").or_else(code).or_else(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_in_every_form_and_what_is_none() {
        let check = |crs: &str, expected: Option<&str>| {
            let found = foreign(serde_json::from_str(crs).expect("JSON"));
            assert_eq!(found.as_deref(), expected, "{crs}");
        };
        for name in [
            "EPSG:4326",
            "epsg:4326",
            "EPSG::4326",
            "4326",
            "urn:ogc:def:crs:EPSG::4326",
            "urn:ogc:def:crs:EPSG:6.9:4326",
            "urn:x-ogc:def:crs:EPSG:4326",
            "urn:ogc:def:crs:OGC:1.3:CRS84",
            "urn:ogc:def:crs:ogc:1.3:crs84",
            "urn:ogc:def:crs:EPSG::4258",
            "http://www.opengis.net/def/crs/EPSG/0/4326",
            "http://www.opengis.net/gml/srs/epsg.xml#4326",
            "OGC:CRS84",
            "CRS84",
            "WGS84",
            "WGS 84",
            "WGS-84",
            "GCS_WGS_1984",
        ] {
            check(&format!("{name:?}"), None);
            check(&format!(r#"{{"type":"name","properties":{{"name":"{name}"}}}}"#), None);
        }
        check(r#"{"type":"EPSG","properties":{"code":4326}}"#, None);
        check(r#"{"type":"EPSG","properties":{"code":"4326"}}"#, None);
        check(r#"{"type":"epsg","properties":{"code":4326,"coordinate_order":[1,0]}}"#, None);
        check(r#"{"type":"OGC","properties":{"urn":"urn:ogc:def:crs:OGC:1.3:CRS84"}}"#, None);
        check(
            r#"{"type":"link","properties":{"href":"http://spatialreference.org/ref/epsg/4326/proj4/"}}"#,
            None,
        );
        check(
            r#"{"type":"link","properties":{"href":"http://spatialreference.org/ref/epsg/26986/ogcwkt/"}}"#,
            Some("EPSG:26986"),
        );
        check(r#"{"code":4326}"#, None);
        check("{}", None);
        check("[5]", None);
        check(r#"{"type":"EPSG","properties":{"code":3857}}"#, Some("EPSG:3857"));
        check(r#""EPSG:25832""#, Some("EPSG:25832"));
        check(r#""EPSG:14326""#, Some("EPSG:14326"));
        check(r#"{"properties":{"name":"WGS 84 / UTM zone 33N"}}"#, Some("WGS 84 / UTM zone 33N"));
        check(r#"{"properties":{"name":"urn:ogc:def:crs:EPSG::3857"}}"#, Some("urn:ogc:def:crs:EPSG::3857"));
    }
}
