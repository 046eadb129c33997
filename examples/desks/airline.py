"""The desk of an airline: flights, users, reservations, and what may be done with them.

Made after the airline domain of tau2-bench (Sierra Research, MIT licence): its database, schemas, policy and recorded
conversations say what each tool does. So do the words of its errors, which a recorded assistant has read.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from desks.airline_records import (
    AirlineDatabase,
    Available,
    CabinClass,
    Cancelled,
    Certificate,
    CreditCard,
    DirectFlight,
    Flight,
    FlightInfo,
    FlightType,
    Flying,
    GiftCard,
    Insurance,
    Landed,
    OnTimeOrDelayed,
    Passenger,
    Payment,
    Reservation,
    ReservationFlight,
    User,
)
from desks.desk import Desk, desk_tool, plain

NOW = "2024-05-15T15:00:00"  # when all conversations take place
NEW_RESERVATIONS = ("HATHAT", "HATHAU", "HATHAV")
NEW_CERTIFICATES = ("certificate_3221322", "certificate_3221323", "certificate_3221324")
INSURANCE_PRICE, BAG_PRICE = 30, 50  # dollars, for each passenger, for each bag that is not free
AIRPORTS = {
    "SFO": "San Francisco",
    "JFK": "New York",
    "LAX": "Los Angeles",
    "ORD": "Chicago",
    "DFW": "Dallas",
    "DEN": "Denver",
    "SEA": "Seattle",
    "ATL": "Atlanta",
    "MIA": "Miami",
    "BOS": "Boston",
    "PHX": "Phoenix",
    "IAH": "Houston",
    "LAS": "Las Vegas",
    "MCO": "Orlando",
    "EWR": "Newark",
    "CLT": "Charlotte",
    "MSP": "Minneapolis",
    "DTW": "Detroit",
    "PHL": "Philadelphia",
    "LGA": "LaGuardia",
}


class AirlineTools(Desk):
    """Search, book, change and cancel."""

    tables = AirlineDatabase
    db: AirlineDatabase

    def user(self, user_id: str) -> User:
        if user_id not in self.db.users:
            raise ValueError(f"User {user_id} not found")
        return self.db.users[user_id]

    def reservation(self, reservation_id: str) -> Reservation:
        if reservation_id not in self.db.reservations:
            raise ValueError(f"Reservation {reservation_id} not found")
        return self.db.reservations[reservation_id]

    def flight(self, flight_number: str) -> Flight:
        if flight_number not in self.db.flights:
            raise ValueError(f"Flight {flight_number} not found")
        return self.db.flights[flight_number]

    def flight_on(self, flight_number: str, date: str) -> Available | OnTimeOrDelayed | Flying | Landed | Cancelled:
        flight = self.flight(flight_number)
        if date not in flight.dates:
            raise ValueError(f"Flight {flight_number} not found on date {date}")
        return flight.dates[date]

    # -- looking up ----------------------------------------------------------------------------

    @desk_tool
    def get_user_details(self, user_id: str) -> dict[str, Any]:
        """All about a user, the ids of the reservations among it.

        Args:
            user_id: Such as 'sara_doe_496'.
        """
        return plain(self.user(user_id))

    @desk_tool
    def get_reservation_details(self, reservation_id: str) -> dict[str, Any]:
        """All about a reservation.

        Args:
            reservation_id: Such as '8JX2WO'.
        """
        return plain(self.reservation(reservation_id))

    @desk_tool
    def get_flight_status(self, flight_number: str, date: str) -> str:
        """Whether a flight is available, delayed, on time, flying, landed or cancelled.

        Args:
            flight_number: Such as 'HAT001'.
            date: As in '2024-05-01'.
        """
        return self.flight_on(flight_number, date).status

    @desk_tool
    def list_all_airports(self) -> list[dict[str, str]]:
        """All airports, with the cities they serve."""
        return [{"iata": iata, "city": city} for iata, city in AIRPORTS.items()]

    @desk_tool
    def search_direct_flight(self, origin: str, destination: str, date: str) -> list[dict[str, Any]]:
        """Flights from one airport to another that can be booked for a day.

        Args:
            origin: Airport in three letters, such as 'JFK'.
            destination: Such as 'LAX'.
            date: As in '2024-05-01'.
        """
        return [plain(flight) for flight in self.direct_flights(date, origin, destination)]

    @desk_tool
    def search_onestop_flight(self, origin: str, destination: str, date: str) -> list[list[dict[str, Any]]]:
        """Pairs of flights from one airport to another, with a change in between.

        Args:
            origin: Airport in three letters, such as 'JFK'.
            destination: Such as 'LAX'.
            date: As in '2024-05-01'.
        """
        found = []
        for first in self.direct_flights(date, origin):
            first.date, arrival = date, first.scheduled_arrival_time_est
            next_date = f"2024-05-{int(date[-2:]) + 1}" if "+1" in arrival else date
            for second in self.direct_flights(next_date, first.destination, destination, leave_after=arrival):
                second.date = next_date
                found.append([plain(first), plain(second)])
        return found

    def direct_flights(
        self, date: str, origin: str | None = None, destination: str | None = None, leave_after: str | None = None
    ) -> list[DirectFlight]:
        return [
            DirectFlight(
                flight_number=flight.flight_number,
                origin=flight.origin,
                destination=flight.destination,
                status="available",
                scheduled_departure_time_est=flight.scheduled_departure_time_est,
                scheduled_arrival_time_est=flight.scheduled_arrival_time_est,
                available_seats=on_date.available_seats,
                prices=on_date.prices,
            )
            for flight in self.db.flights.values()
            if (origin is None or flight.origin == origin)
            and (destination is None or flight.destination == destination)
            and date in flight.dates
            and isinstance(on_date := flight.dates[date], Available)
            and (leave_after is None or flight.scheduled_departure_time_est >= leave_after)
        ]

    # -- booking -------------------------------------------------------------------------------

    @desk_tool
    def book_reservation(
        self,
        user_id: str,
        origin: str,
        destination: str,
        flight_type: FlightType,
        cabin: CabinClass,
        flights: list[FlightInfo],
        passengers: list[Passenger],
        payment_methods: list[Payment],
        total_baggages: int,
        nonfree_baggages: int,
        insurance: Insurance,
    ) -> dict[str, Any]:
        """Book flights, once the customer has agreed to all of it.

        Args:
            user_id: Who books, such as 'sara_doe_496'.
            origin: Airport in three letters, such as 'SFO'.
            destination: Such as 'JFK'.
            flight_type: 'one_way' or 'round_trip'.
            cabin: 'basic_economy', 'economy' or 'business', on all flights.
            flights: Each flight with its date, in order.
            passengers: Who flies.
            payment_methods: What is paid with what; together the whole price.
            total_baggages: Bags to check in.
            nonfree_baggages: Those of them that are to be paid for.
            insurance: Whether there is one.
        """
        flights = made(FlightInfo, flights)
        passengers = made(Passenger, passengers)
        payment_methods = made(Payment, payment_methods)
        user = self.user(user_id)
        reservation = Reservation(
            reservation_id=self.new_reservation_id(),
            user_id=user_id,
            origin=origin,
            destination=destination,
            flight_type=flight_type,
            cabin=cabin,
            flights=[],
            passengers=deepcopy(passengers),
            payment_history=deepcopy(payment_methods),
            created_at=NOW,
            total_baggages=total_baggages,
            nonfree_baggages=nonfree_baggages,
            insurance=insurance,
        )
        seats = []
        for info in flights:
            flight, on_date = self.seats_on(info, cabin, len(passengers))
            reservation.flights.append(flight)
            seats.append(on_date)
        price = sum(flight.price for flight in reservation.flights) * len(passengers)
        price += INSURANCE_PRICE * len(passengers) if insurance == "yes" else 0
        price += BAG_PRICE * nonfree_baggages
        self.pay_booking(user, payment_methods, price)
        for on_date in seats:
            on_date.available_seats[cabin] -= len(passengers)
        self.db.reservations[reservation.reservation_id] = reservation
        user.reservations.append(reservation.reservation_id)
        return plain(reservation)

    def new_reservation_id(self) -> str:
        for reservation_id in NEW_RESERVATIONS:
            if reservation_id not in self.db.reservations:
                return reservation_id
        raise ValueError("Too many reservations")

    def seats_on(self, info: FlightInfo, cabin: CabinClass, count: int) -> tuple[ReservationFlight, Available]:
        """A flight that has seats for so many, as a reservation has it, and where its seats are counted."""
        number, date = info.flight_number, info.date
        flight, on_date = self.flight(number), self.flight_on(number, date)
        if not isinstance(on_date, Available):
            raise ValueError(f"Flight {number} not available on date {date}")
        if on_date.available_seats[cabin] < count:
            raise ValueError(f"Not enough seats on flight {number}")
        booked = ReservationFlight(
            flight_number=number,
            origin=flight.origin,
            destination=flight.destination,
            date=date,
            price=on_date.prices[cabin],
        )
        return booked, on_date

    @staticmethod
    def pay_booking(user: User, payments: list[Payment], price: int) -> None:
        for payment in payments:
            if payment.payment_id not in user.payment_methods:
                raise ValueError(f"Payment method {payment.payment_id} not found")
            method = user.payment_methods[payment.payment_id]
            if not isinstance(method, CreditCard) and method.amount < payment.amount:
                raise ValueError(f"Not enough balance in payment method {payment.payment_id}")
        paid = sum(payment.amount for payment in payments)
        if paid != price:
            raise ValueError(f"Payment amount does not add up, total price is {price}, but paid {paid}")
        for payment in payments:
            method = user.payment_methods[payment.payment_id]
            if isinstance(method, GiftCard):
                method.amount -= payment.amount
            elif isinstance(method, Certificate):
                user.payment_methods.pop(payment.payment_id)  # whatever was left of it is lost

    # -- changing ------------------------------------------------------------------------------

    @desk_tool
    def cancel_reservation(self, reservation_id: str) -> dict[str, Any]:
        """Cancel a whole reservation, once the customer has agreed; all payments are refunded.

        Args:
            reservation_id: Such as 'ZFA04Y'.
        """
        reservation = self.reservation(reservation_id)
        history = reservation.payment_history
        history.extend([Payment(payment_id=paid.payment_id, amount=-paid.amount) for paid in history])
        reservation.status = "cancelled"
        return plain(reservation)

    @desk_tool
    def update_reservation_baggages(
        self, reservation_id: str, total_baggages: int, nonfree_baggages: int, payment_id: str
    ) -> dict[str, Any]:
        """Add bags to a reservation, once the customer has agreed.

        Args:
            reservation_id: Such as 'ZFA04Y'.
            total_baggages: Bags to check in, the old ones among them.
            nonfree_baggages: Those of them that are to be paid for.
            payment_id: What with, such as 'credit_card_7815826'.
        """
        reservation = self.reservation(reservation_id)
        user = self.user(reservation.user_id)
        self.pay_update(
            reservation, user, payment_id, BAG_PRICE * max(0, nonfree_baggages - reservation.nonfree_baggages)
        )
        reservation.total_baggages, reservation.nonfree_baggages = total_baggages, nonfree_baggages
        return plain(reservation)

    @desk_tool
    def update_reservation_flights(
        self, reservation_id: str, cabin: CabinClass, flights: list[FlightInfo], payment_id: str
    ) -> dict[str, Any]:
        """Change flights or the cabin of a reservation, once the customer has agreed.

        Args:
            reservation_id: Such as 'ZFA04Y'.
            cabin: For all flights.
            flights: All flights of the reservation, also those that stay as they are.
            payment_id: What the difference is paid with, or refunded to; no certificate.
        """
        flights = made(FlightInfo, flights)
        reservation = self.reservation(reservation_id)
        user = self.user(reservation.user_id)
        count = len(reservation.passengers)
        booked = []
        for info in flights:
            same = (
                flight
                for flight in reservation.flights
                if flight.flight_number == info.flight_number
                and flight.date == info.date
                and cabin == reservation.cabin
            )
            booked.append(next(same, None) or self.seats_on(info, cabin, count)[0])
        before = sum(flight.price for flight in reservation.flights) * count
        self.pay_update(reservation, user, payment_id, sum(flight.price for flight in booked) * count - before)
        reservation.flights, reservation.cabin = booked, cabin
        return plain(reservation)

    @desk_tool
    def update_reservation_passengers(self, reservation_id: str, passengers: list[Passenger]) -> dict[str, Any]:
        """Change who flies, but not how many, once the customer has agreed.

        Args:
            reservation_id: Such as 'ZFA04Y'.
            passengers: All of them.
        """
        passengers = made(Passenger, passengers)
        reservation = self.reservation(reservation_id)
        if len(passengers) != len(reservation.passengers):
            raise ValueError("Number of passengers does not match")
        reservation.passengers = deepcopy(passengers)
        return plain(reservation)

    @desk_tool
    def send_certificate(self, user_id: str, amount: int) -> str:
        """Give a user a certificate, as a compensation. Mind when it is allowed!

        Args:
            user_id: Such as 'sara_doe_496'.
            amount: In dollars.
        """
        user = self.user(user_id)
        for payment_id in NEW_CERTIFICATES:
            if payment_id not in user.payment_methods:
                certificate = Certificate(id=payment_id, amount=amount, source="certificate")
                user.payment_methods[payment_id] = certificate
                return f"Certificate {payment_id} added to user {user_id} with amount {amount}."
        raise ValueError("Too many certificates")

    @staticmethod
    def pay_update(reservation: Reservation, user: User, payment_id: str, price: int) -> None:
        """Take what a change costs (a refund where it is negative)."""
        if payment_id not in user.payment_methods:
            raise ValueError("Payment method not found")
        method = user.payment_methods[payment_id]
        if isinstance(method, Certificate):
            raise ValueError("Certificate cannot be used to update reservation")
        if isinstance(method, GiftCard):
            if method.amount < price:
                raise ValueError("Gift card balance is not enough")
            method.amount -= price
        if price != 0:
            reservation.payment_history.append(Payment(payment_id=payment_id, amount=price))


def made(kind: type[Any], given: list[Any]) -> list[Any]:
    """Records out of what an assistant wrote; what is no map at all is left for those who look into it."""
    return [kind(**one) for one in given] if all(isinstance(one, dict) for one in given) else given
