"""The desk of a shop: orders, users, products, and what may be done with them.

Made after the retail domain of tau2-bench (Sierra Research, MIT licence): its database, schemas, policy and recorded
conversations say what each tool does. So do the words of its errors, which a recorded assistant has read.
"""

from __future__ import annotations

import json
from typing import Any

from desks.desk import Desk, desk_tool, plain
from desks.retail_records import (
    CreditCard,
    GiftCard,
    Order,
    OrderItem,
    OrderPayment,
    Paypal,
    Product,
    RetailDatabase,
    User,
    UserAddress,
    Variant,
)


class RetailTools(Desk):
    """Look up, cancel, change, return and exchange."""

    tables = RetailDatabase
    db: RetailDatabase

    def order(self, order_id: str) -> Order:
        if order_id not in self.db.orders:
            raise ValueError("Order not found")
        return self.db.orders[order_id]

    def user(self, user_id: str) -> User:
        if user_id not in self.db.users:
            raise ValueError("User not found")
        return self.db.users[user_id]

    def product(self, product_id: str) -> Product:
        if product_id not in self.db.products:
            raise ValueError("Product not found")
        return self.db.products[product_id]

    def variant(self, product_id: str, item_id: str) -> Variant:
        product = self.product(product_id)
        if item_id not in product.variants:
            raise ValueError("Variant not found")
        return product.variants[item_id]

    def payment_method(self, user_id: str, payment_method_id: str) -> CreditCard | GiftCard | Paypal:
        user = self.user(user_id)
        if payment_method_id not in user.payment_methods:
            raise ValueError("Payment method not found")
        return user.payment_methods[payment_method_id]

    def pending_order(self, order_id: str) -> Order:
        order = self.order(order_id)
        if "pending" not in order.status:
            raise ValueError("Non-pending order cannot be modified")
        return order

    # -- looking up ----------------------------------------------------------------------------

    @desk_tool
    def find_user_id_by_email(self, email: str) -> str:
        """The id of the user with an e-mail address.

        Args:
            email: Such as 'something@example.com'.
        """
        for user_id, user in self.db.users.items():
            if user.email.lower() == email.lower():
                return user_id
        raise ValueError("User not found")

    @desk_tool
    def find_user_id_by_name_zip(self, first_name: str, last_name: str, zip: str) -> str:
        """The id of a user who does not know the e-mail address of the account.

        Args:
            first_name: Such as 'John'.
            last_name: Such as 'Doe'.
            zip: Postal code, such as '12345'.
        """
        for user_id, user in self.db.users.items():
            if (
                user.name.first_name.lower() == first_name.lower()
                and user.name.last_name.lower() == last_name.lower()
                and user.address.zip == zip
            ):
                return user_id
        raise ValueError("User not found")

    @desk_tool
    def get_order_details(self, order_id: str) -> dict[str, Any]:
        """All about an order.

        Args:
            order_id: With its '#', such as '#W0000000'.
        """
        return plain(self.order(order_id))

    @desk_tool
    def get_product_details(self, product_id: str) -> dict[str, Any]:
        """All variants of a product: which there are, what they cost, whether they are available.

        Args:
            product_id: Such as '6086499569'; not the id of an item.
        """
        return plain(self.product(product_id))

    @desk_tool
    def get_user_details(self, user_id: str) -> dict[str, Any]:
        """All about a user, the ids of the orders among it.

        Args:
            user_id: Such as 'sara_doe_496'.
        """
        return plain(self.user(user_id))

    @desk_tool
    def list_all_product_types(self) -> str:
        """The ids of all products, by name."""
        return json.dumps({product.name: product.product_id for product in self.db.products.values()}, sort_keys=True)

    # -- pending orders ------------------------------------------------------------------------

    @desk_tool
    def cancel_pending_order(self, order_id: str, reason: str) -> dict[str, Any]:
        """Cancel a pending order, once the customer has agreed. Gift cards are refunded at once, others in some days.

        Args:
            order_id: With its '#', such as '#W0000000'.
            reason: 'no longer needed' or 'ordered by mistake'.
        """
        order = self.order(order_id)
        if order.status != "pending":
            raise ValueError("Non-pending order cannot be cancelled")
        if reason not in {"no longer needed", "ordered by mistake"}:
            raise ValueError("Invalid reason")
        refunds = []
        for payment in order.payment_history:
            paid_with = payment.payment_method_id
            refunds.append(OrderPayment(transaction_type="refund", amount=payment.amount, payment_method_id=paid_with))
            self.pay(self.payment_method(order.user_id, paid_with), -payment.amount)
        order.status = "cancelled"
        order.cancel_reason = reason  # type: ignore[assignment]  # checked above
        order.payment_history.extend(refunds)
        return plain(order)

    @desk_tool
    def modify_pending_order_address(
        self, order_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
    ) -> dict[str, Any]:
        """Send a pending order to another address, once the customer has agreed.

        Args:
            order_id: With its '#', such as '#W0000000'.
            address1: Such as '123 Main St'.
            address2: Such as 'Apt 1', or ''.
            city: Such as 'San Francisco'.
            state: Such as 'CA'.
            country: Such as 'USA'.
            zip: Such as '12345'.
        """
        order = self.pending_order(order_id)
        order.address = UserAddress(
            address1=address1, address2=address2, city=city, state=state, country=country, zip=zip
        )
        return plain(order)

    @desk_tool
    def modify_pending_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> dict[str, Any]:
        """Change items of a pending order into others of the same product: once an order, when the customer has agreed.

        Args:
            order_id: With its '#', such as '#W0000000'.
            item_ids: The items to change, each as often as it is to be changed.
            new_item_ids: What they become, in the same order.
            payment_method_id: What the difference is paid with, or refunded to.
        """
        order = self.order(order_id)
        if order.status != "pending":
            raise ValueError("Non-pending order cannot be modified")
        in_order = [item.item_id for item in order.items]
        for item_id in item_ids:
            if item_ids.count(item_id) > in_order.count(item_id):
                raise ValueError(f"{item_id} not found")
        if len(item_ids) != len(new_item_ids):
            raise ValueError("The number of items to be exchanged should match")
        difference: float = 0
        for item_id, new_item_id in zip(item_ids, new_item_ids):
            if item_id == new_item_id:
                raise ValueError("The new item id should be different from the old item id")
            item, variant = self.exchanged(order, item_id, new_item_id)
            difference += variant.price - item.price
        method = self.payment_method(order.user_id, payment_method_id)
        if isinstance(method, GiftCard) and method.balance < difference:
            raise ValueError("Insufficient gift card balance to pay for the new item")
        order.payment_history.append(
            OrderPayment(
                transaction_type="payment" if difference > 0 else "refund",
                amount=abs(difference),
                payment_method_id=payment_method_id,
            )
        )
        self.pay(method, difference)
        # All of them get price and options of the last one: so it was where the conversations were recorded.
        for item_id, new_item_id in zip(item_ids, new_item_ids):
            item = self.item(order, item_id)
            item.item_id, item.price, item.options = new_item_id, variant.price, variant.options
        order.status = "pending (item modified)"
        return plain(order)

    @desk_tool
    def modify_pending_order_payment(self, order_id: str, payment_method_id: str) -> dict[str, Any]:
        """Have a pending order paid with something else, once the customer has agreed.

        Args:
            order_id: With its '#', such as '#W0000000'.
            payment_method_id: Such as 'gift_card_0000000', as in the details of the user.
        """
        order = self.pending_order(order_id)
        method = self.payment_method(order.user_id, payment_method_id)
        history = order.payment_history
        if len(history) != 1 or history[0].transaction_type != "payment":
            raise ValueError("There should be exactly one payment for a pending order")
        if history[0].payment_method_id == payment_method_id:
            raise ValueError("The new payment method should be different from the current one")
        amount, before = history[0].amount, history[0].payment_method_id
        if isinstance(method, GiftCard) and method.balance < amount:
            raise ValueError("Insufficient gift card balance to pay for the order")
        history.extend(
            [
                OrderPayment(transaction_type="payment", amount=amount, payment_method_id=payment_method_id),
                OrderPayment(transaction_type="refund", amount=amount, payment_method_id=before),
            ]
        )
        self.pay(method, amount)
        self.pay(self.payment_method(order.user_id, before), -amount)
        return plain(order)

    # -- delivered orders, and users ---------------------------------------------------------------

    @desk_tool
    def return_delivered_order_items(
        self, order_id: str, item_ids: list[str], payment_method_id: str
    ) -> dict[str, Any]:
        """Take items of a delivered order back, once the customer has agreed. How to send them comes by e-mail.

        Args:
            order_id: With its '#', such as '#W0000000'.
            item_ids: The items, each as often as it comes back.
            payment_method_id: What is refunded: the one it was paid with, or a gift card.
        """
        order = self.order(order_id)
        if order.status != "delivered":
            raise ValueError("Non-delivered order cannot be returned")
        method = self.payment_method(order.user_id, payment_method_id)
        if not isinstance(method, GiftCard) and payment_method_id != order.payment_history[0].payment_method_id:
            raise ValueError("Payment method should be the original payment method")
        in_order = [item.item_id for item in order.items]
        for item_id in item_ids:
            if item_ids.count(item_id) > in_order.count(item_id):
                raise ValueError("Some item not found")
        order.status = "return requested"
        order.return_items = sorted(item_ids)
        order.return_payment_method_id = payment_method_id
        return plain(order)

    @desk_tool
    def exchange_delivered_order_items(
        self, order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str
    ) -> dict[str, Any]:
        """Exchange items of a delivered order for others of the same product: once, when the customer has agreed.

        Args:
            order_id: With its '#', such as '#W0000000'.
            item_ids: The items to exchange, each as often as it is to be exchanged.
            new_item_ids: What they are exchanged for, in the same order.
            payment_method_id: What the difference is paid with, or refunded to.
        """
        order = self.order(order_id)
        if order.status != "delivered":
            raise ValueError("Non-delivered order cannot be exchanged")
        in_order = [item.item_id for item in order.items]
        for item_id in item_ids:
            if item_ids.count(item_id) > in_order.count(item_id):
                raise ValueError(f"Number of {item_id} not found.")
        if len(item_ids) != len(new_item_ids):
            raise ValueError("The number of items to be exchanged should match.")
        difference: float = 0
        for item_id, new_item_id in zip(item_ids, new_item_ids):
            item, variant = self.exchanged(order, item_id, new_item_id)
            difference += variant.price - item.price
        difference = round(difference, 2)
        method = self.payment_method(order.user_id, payment_method_id)
        if isinstance(method, GiftCard) and method.balance < difference:
            raise ValueError("Insufficient gift card balance to pay for the price difference")
        order.status = "exchange requested"
        order.exchange_items, order.exchange_new_items = sorted(item_ids), sorted(new_item_ids)
        order.exchange_payment_method_id = payment_method_id
        order.exchange_price_difference = difference
        return plain(order)

    @desk_tool
    def modify_user_address(
        self, user_id: str, address1: str, address2: str, city: str, state: str, country: str, zip: str
    ) -> dict[str, Any]:
        """Change where a user lives, once the user has agreed.

        Args:
            user_id: Such as 'sara_doe_496'.
            address1: Such as '123 Main St'.
            address2: Such as 'Apt 1', or ''.
            city: Such as 'San Francisco'.
            state: Such as 'CA'.
            country: Such as 'USA'.
            zip: Such as '12345'.
        """
        user = self.user(user_id)
        user.address = UserAddress(
            address1=address1, address2=address2, city=city, state=state, country=country, zip=zip
        )
        return plain(user)

    # -- what they share ---------------------------------------------------------------------------

    @staticmethod
    def item(order: Order, item_id: str) -> OrderItem:
        found = next((item for item in order.items if item.item_id == item_id), None)
        if found is None:
            raise ValueError(f"Item {item_id} not found")
        return found

    def exchanged(self, order: Order, item_id: str, new_item_id: str) -> tuple[OrderItem, Variant]:
        """An item and what it becomes, which must be there to be had."""
        item = self.item(order, item_id)
        variant = self.variant(item.product_id, new_item_id)
        if not variant.available:
            raise ValueError(f"New item {new_item_id} not found or available")
        return item, variant

    @staticmethod
    def pay(method: CreditCard | GiftCard | Paypal, amount: float) -> None:
        """Take an amount (a refund where it is negative) from a gift card; of the others no account is kept here."""
        if isinstance(method, GiftCard):
            method.balance -= amount
            method.balance = round(method.balance, 2)
