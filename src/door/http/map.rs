//! What the map page asks for beside clients: names for its map, and what is near a position.

use serde_json::json;

use super::call::{Call, Wanted};
use super::clients::places_wanted;
use super::listing::place_of;
use super::query::{BadParameter, Query};
use super::reply::{JSON, Reply};
use super::{Done, gzip};
use crate::door::Question;
use crate::limits::{HTTP_PAGE, HTTP_PAGE_MAX};
use crate::places::{Label, Lookup};

/// What a map of an area is labelled with: the largest towns, or the user's own places.
pub fn labels(call: &mut Call<'_, '_>) -> Done {
    let read = Query::parse(call.head.query, &["bbox", "limit"]).and_then(|query| {
        let limit = query.number("limit", 1, HTTP_PAGE_MAX)?.unwrap_or(HTTP_PAGE) as usize;
        Ok((place_of(&query)?.0, limit))
    });
    let (area, limit) = match read {
        Ok(read) => read,
        Err(bad) => return call.refuse_parameter(&bad),
    };
    let is_in = |latitude, longitude| area.is_none_or(|area| area.has(latitude, longitude));
    let mut found = Vec::new();
    let mut take = |Label { name, latitude_deg, longitude_deg }: Label<'_>| {
        if is_in(latitude_deg, longitude_deg) {
            found.push(json!({ "name": name, "lat": latitude_deg, "lon": longitude_deg }));
        }
        found.len() < limit
    };
    let attributions = call.site.places.as_ref().map(|places| places.labels(&mut take)).unwrap_or_default();
    let mut json = json!({ "labels": found, "attributions": attributions }).to_string().into_bytes();
    json.push(b'\n');
    let body = gzip::pack_for(call.way, json.into());
    // The user's own may be others soon.
    let fields = "Cache-Control: max-age=600\r\n";
    call.say_tagged(Reply { status: 200, kind: Some(JSON), body: &body, fields, ..Reply::default() })
}

/// What is near a position.
pub fn places(call: &mut Call<'_, '_>) -> Done {
    let read = Query::parse(call.head.query, &["near", "radius_km", "bound"]).and_then(|query| {
        let (radius_m, bound) = places_wanted(&query)?;
        let point = query.numbers::<2>("near", "LATITUDE,LONGITUDE in degrees")?;
        let Some([latitude_deg, longitude_deg]) =
            point.filter(|[latitude, longitude]| latitude.abs() <= 90.0 && longitude.abs() <= 180.0)
        else {
            let why = "near is LATITUDE,LONGITUDE: from -90 to 90, and from -180 to 180";
            return Err(BadParameter { name: "near".into(), why: why.into() });
        };
        Ok(Lookup { latitude_deg, longitude_deg, radius_m, bound })
    });
    match read {
        Ok(lookup) => call.ask(Question::Places(lookup), Wanted::Places),
        Err(bad) => call.refuse_parameter(&bad),
    }
}
